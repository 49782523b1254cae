'use strict'

const FAILURES = 2
// By call id, for as long as a call is tried: where it is kept does not matter for this example.
const attempts = new Map()

module.exports = async (event, context) => {
  const callId = event.headers['x-call-id']
  const attempt = (attempts.get(callId) ?? 0) + 1
  attempts.set(callId, attempt)
  if (attempt <= FAILURES) return context.status(503).fail(`attempt ${attempt} of ${callId} fails`)
  attempts.delete(callId)
  return context.headers({ 'Content-Type': 'text/plain' }).succeed(`${event.body}: done in attempt ${attempt}`)
}
