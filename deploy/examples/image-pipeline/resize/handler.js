'use strict'
const { GetObjectCommand, PutObjectCommand, S3Client } = require('@aws-sdk/client-s3')
const sharp = require('sharp')

// One client for all calls: a function process lives longer than one event.
const s3 = new S3Client({
  endpoint: process.env.S3_URL,
  region: 'us-east-1',
  forcePathStyle: true,
  credentials: { accessKeyId: process.env.S3_ACCESS_KEY, secretAccessKey: process.env.S3_SECRET_KEY },
})

module.exports = async (event, context) => {
  const Bucket = event.headers['x-minio-bucket']
  const Key = header(event, 'x-minio-key')
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key }))
  const picture = await Body.transformToByteArray()
  const thumbnail = await sharp(picture)
    .rotate()
    .resize({ width: Number(process.env.WIDTH) })
    .jpeg()
    .toBuffer()
  // The same name again, should the event come twice.
  const target = { Bucket: process.env.THUMBNAILS, Key: Key.replace(/\.[^./]*$/, '') + '.jpg' }
  await s3.send(new PutObjectCommand({ ...target, Body: thumbnail, ContentType: 'image/jpeg' }))
  return context.status(200).succeed(target)
}

// What HTTP cannot carry as it is comes as base64, and says so.
function header(event, name) {
  const value = event.headers[name]
  return event.headers[name + '-enc'] === 'b64' ? Buffer.from(value, 'base64').toString() : value
}
