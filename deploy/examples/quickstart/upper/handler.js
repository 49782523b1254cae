'use strict'
const mqtt = require('mqtt')

// One connection for all calls: a function process lives longer than one event.
const client = mqtt.connect(process.env.MQTT_URL)

module.exports = async (event, context) => {
  const word = event.body.toUpperCase()
  const topic = event.headers['x-topic'].replace(/^words\//, 'shouted/')
  await client.publishAsync(topic, word, { qos: 1 })
  return context.status(200).succeed(word)
}
