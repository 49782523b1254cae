// The bare loop on MQTT: a socket, the packet library that the connector uses, and nothing else. Forked by throughput.ts.

import { connect } from 'node:net'

import { generate, parser } from 'mqtt-packet'
import type { Packet } from 'mqtt-packet'

import { BareLoop, bareArguments } from './bare-loop.ts'

const { gatewayUrl, port, name, concurrency, window } = bareArguments()
const loop = new BareLoop(gatewayUrl, concurrency)
const socket = connect({ port, host: '127.0.0.1', noDelay: true })
const read = parser({ protocolVersion: 5 })
const send = (packet: Packet): void => void socket.write(generate(packet, { protocolVersion: 5 }))

socket.on('data', (chunk) => void read.parse(chunk))
read.on('packet', (packet: Packet) => {
  if (packet.cmd !== 'publish') return
  const { messageId = 0 } = packet
  loop.take(packet.topic, packet.payload as Buffer, () => send({ cmd: 'puback', messageId, reasonCode: 0 }))
})
send({
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 5,
  clientId: name,
  clean: false,
  keepalive: 60,
  properties: { receiveMaximum: window, sessionExpiryInterval: 3600 },
})
