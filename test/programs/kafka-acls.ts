// Kafka's command for access control lists, from the jars of the broker: Kafka's own is a script around the same class.

import { provideKafka } from '../servers/kafka.ts'
import { plainJvmArgs } from '../servers/jvm-setup.ts'
import type { Provide } from './program.ts'

export const provideKafkaAcls: Provide = async (progress) => {
  const kafka = await provideKafka(progress)
  const argv = [kafka.java, ...plainJvmArgs(kafka), 'org.apache.kafka.tools.AclCommand'] as const
  return { command: 'kafka-acls', argv, version: kafka.version, origin: kafka.origin }
}
