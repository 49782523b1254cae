'use strict'

module.exports = async (event, context) => {
  let word = event.body
  for (const name of ['upper', 'reverse']) {
    const response = await fetch(`${process.env.GATEWAY_URL}/function/${name}`, {
      method: 'POST',
      body: word,
      // One id for the whole chain: it finds all of its calls in the logs.
      headers: { 'Content-Type': 'text/plain', 'X-Call-Id': event.headers['x-call-id'] },
    })
    if (!response.ok) return context.status(502).fail(`${name} answered ${response.status}`)
    word = await response.text()
  }
  return context.succeed(word)
}
