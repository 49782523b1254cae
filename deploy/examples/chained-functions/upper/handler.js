'use strict'
const mqtt = require('mqtt')

// One connection for all calls, made by the first one that needs it.
let client

module.exports = async (event, context) => {
  const word = event.body.toUpperCase()
  // Called by an event it passes its result on as an event; called directly it only answers.
  if (event.headers['x-topic'] !== undefined) {
    client ??= mqtt.connect(process.env.MQTT_URL)
    await client.publishAsync('words/upper', word, { qos: 1 })
  }
  return context.succeed(word)
}
