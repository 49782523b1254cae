'use strict'
const { createHash, createHmac, timingSafeEqual } = require('node:crypto')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')

const SECRETS = process.env.secret_mount_path ?? '/var/openfaas/secrets'
/** Older ones are not taken: somebody may have recorded them. */
const TOLERANCE_SECONDS = 300

module.exports = async (event, context) => {
  // Until it is proven: an error that nobody catches is answered with the status as it stands.
  context.status(401)
  const isProven = event.headers['webhook-signature'] === undefined ? hasToken(event) : isSigned(event)
  if (!isProven) return context.fail('the signature or token is missing or wrong')

  // From here on the request is GitLab's.
  const { object_kind: kind, project } = JSON.parse(event.body.toString())
  console.log(`${kind} of ${project?.path_with_namespace ?? 'no project'}`)
  return context.status(200).succeed(`${kind} accepted`)
}

/** The older way: the secret itself is sent. It proves who sends, and nothing about the body. */
function hasToken({ headers }) {
  return same(headers['x-gitlab-token'], secret('gitlab-token'))
}

/** The newer way, a signing token: HMAC over id, time and body, as Standard Webhooks has it. */
function isSigned({ headers, body }) {
  const id = headers['webhook-id'] ?? ''
  const time = headers['webhook-timestamp'] ?? ''
  const key = Buffer.from(secret('gitlab-signing-token').replace(/^whsec_/, ''), 'base64')
  const expected = createHmac('sha256', key).update(`${id}.${time}.`).update(body).digest('base64')
  // Several while a token is replaced. Each is compared, so that the time says nothing about which one was right.
  const matches = headers['webhook-signature'].split(' ').filter((signature) => same(signature, `v1,${expected}`))
  return matches.length > 0 && Math.abs(Date.now() / 1000 - Number(time)) <= TOLERANCE_SECONDS
}

function secret(name) {
  const text = readFileSync(join(SECRETS, name), 'utf8').trim()
  if (text === '') throw new Error(`the secret ${name} is empty`)
  return text
}

/** In the same time wherever they differ, and whatever their lengths. */
function same(given = '', expected) {
  const digest = (text) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(expected))
}
