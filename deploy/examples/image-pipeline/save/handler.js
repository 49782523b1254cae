'use strict'
const { createHash } = require('node:crypto')
const { HeadObjectCommand, PutObjectCommand, S3Client } = require('@aws-sdk/client-s3')

const { S3_URL, S3_ACCESS_KEY, S3_SECRET_KEY, THUMBNAILS } = process.env
const s3 = new S3Client({
  endpoint: S3_URL,
  region: 'us-east-1',
  forcePathStyle: true,
  credentials: { accessKeyId: S3_ACCESS_KEY, secretAccessKey: S3_SECRET_KEY },
})

module.exports = async (event, context) => {
  const { key: Key } = event.query
  if (typeof Key !== 'string' || Key === '') return context.status(400).fail('the query names no key')
  context.status(500)
  const target = { Bucket: THUMBNAILS, Key }
  const sha256 = createHash('sha256').update(event.body).digest('hex')
  // The same picture again changes nothing: caches and those who watch the bucket need not know.
  if ((await metadataOf(target)).sha256 === sha256) return context.status(200).succeed(`${Key} is saved already`)
  await s3.send(
    new PutObjectCommand({
      ...target,
      Body: event.body,
      ContentType: event.headers['content-type'],
      CacheControl: 'max-age=86400',
      Metadata: { sha256 },
    }),
  )
  console.log(`${Key} saved`)
  return context.status(200).succeed(`${Key} saved`)
}

async function metadataOf(object) {
  try {
    return (await s3.send(new HeadObjectCommand(object))).Metadata ?? {}
  } catch (error) {
    if (error.$metadata?.httpStatusCode === 404) return {}
    throw error
  }
}
