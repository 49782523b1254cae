'use strict'
const { createHash, createHmac, timingSafeEqual } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')

const SECRETS = process.env.secret_mount_path ?? '/var/openfaas/secrets'

module.exports = async (event, context) => {
  // Until it is proven: an error that nobody catches is answered with the status as it stands.
  context.status(401)
  const secret = readFileSync(join(SECRETS, 'github-webhook'), 'utf8').trim()
  if (secret === '') throw new Error('the secret github-webhook is empty')
  const expected = `sha256=${createHmac('sha256', secret).update(event.body).digest('hex')}`
  if (!same(event.headers['x-hub-signature-256'], expected)) return context.fail('the signature is missing or wrong')

  // From here on the request is GitHub's.
  const name = event.headers['x-github-event']
  const payload = JSON.parse(event.body.toString())
  console.log(`${name} of ${payload.repository?.full_name ?? 'no repository'}`)
  return context.status(200).succeed(`${name} accepted`)
}

/** In the same time wherever they differ, and whatever their lengths. */
function same(given = '', expected) {
  const digest = (text) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(expected))
}
