'use strict'
const { GetObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } = require('@aws-sdk/client-s3')
const sharp = require('sharp')

const { S3_URL, S3_ACCESS_KEY, S3_SECRET_KEY, RESIZED, WIDTH } = process.env
// One client for all calls: a function process lives longer than one event.
const s3 = new S3Client({
  endpoint: S3_URL,
  region: 'us-east-1',
  forcePathStyle: true,
  credentials: { accessKeyId: S3_ACCESS_KEY, secretAccessKey: S3_SECRET_KEY },
})

module.exports = async (event, context) => {
  // An error that nobody catches is answered with the status as it stands: then the event comes again.
  context.status(500)
  const source = { Bucket: header(event, 'x-minio-bucket'), Key: header(event, 'x-minio-key') }
  const target = { Bucket: RESIZED, Key: source.Key.replace(/\.[^./]*$/, '') + '.jpg' }
  const { ETag } = await s3.send(new HeadObjectCommand(source))
  const madeOf = `${ETag.replaceAll('"', '')} at ${WIDTH}`
  // An event may come twice. What is there already is left alone, so that it makes no event of its own.
  if ((await metadataOf(target))['made-of'] === madeOf) return context.status(200).succeed(`${target.Key} is there`)
  const { Body } = await s3.send(new GetObjectCommand({ ...source, IfMatch: ETag }))
  const picture = await sharp(await Body.transformToByteArray())
    .rotate()
    .resize({ width: Number(WIDTH) })
    .jpeg()
    .toBuffer()
  await s3.send(
    new PutObjectCommand({ ...target, Body: picture, ContentType: 'image/jpeg', Metadata: { 'made-of': madeOf } }),
  )
  return context.status(200).succeed(`${target.Key} resized`)
}

async function metadataOf(object) {
  try {
    return (await s3.send(new HeadObjectCommand(object))).Metadata ?? {}
  } catch (error) {
    if (error.$metadata?.httpStatusCode === 404) return {}
    throw error
  }
}

// What HTTP cannot carry as it is comes as base64, and says so.
function header(event, name) {
  const value = event.headers[name]
  return event.headers[name + '-enc'] === 'b64' ? Buffer.from(value, 'base64').toString() : value
}
