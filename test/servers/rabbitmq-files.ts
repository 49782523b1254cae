// What the files of a RabbitMQ node say of what it has confirmed: would it outlive SIGKILL? Called by rabbitmq.ts.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const ITEM_HEAD_BYTES = 8
/** Of each item, after its length. */
const ITEM_MAGIC = 'bWLA'

/**
 * Mnesia confirms a transaction when its changes are in its log, and writes some time later, up to two seconds, that they are
 * to be made: changes without this decision are taken back at the next start, and with them a queue, exchange or binding.
 */
export function isDecided(dataFolder: string): boolean {
  // There while the log is moved into the tables.
  if (existsSync(join(dataFolder, 'mnesia/PREVIOUS.LOG'))) return false
  const items = itemsOf(readFileSync(join(dataFolder, 'mnesia/LATEST.LOG'), 'latin1'))
  if (items === undefined) return false
  const changes = items.flatMap((item) => /decision([^]{1,80}?)...presume_abort/s.exec(item)?.[1] ?? [])
  const decisions = items.filter((item) => !item.includes('presume_abort'))
  return changes.every((transaction) => decisions.some((item) => item.includes(`decision${transaction}`)))
}

/** Undefined where the last one is not complete. */
function itemsOf(log: string): readonly string[] | undefined {
  const items: string[] = []
  for (let at = ITEM_HEAD_BYTES; at < log.length;) {
    const size = Buffer.from(log.slice(at, at + 4), 'latin1')
    const begin = at + ITEM_HEAD_BYTES
    if (size.length < 4 || log.slice(at + 4, begin) !== ITEM_MAGIC) return undefined
    at = begin + size.readUInt32BE()
    if (at > log.length) return undefined
    items.push(log.slice(begin, at))
  }
  return items
}

/**
 * The name and the term of a quorum queue are in tables of their own, which are written now and then: one that is not in both
 * never gets a leader again.
 */
export function isQuorumQueueKnown(dataFolder: string, queue: string): boolean {
  const [names = '', terms = ''] = ['names.dets', 'meta.dets'].map((name) => readFileSync(join(dataFolder, 'quorum/hub@localhost', name), 'latin1')) // prettier-ignore
  // The one names the queue after its virtual host, the other by an id alone.
  const id = new RegExp(`_${RegExp.escape(queue)}m[^]{4}(\\w+)`).exec(names)?.[1]
  return id !== undefined && terms.includes(id)
}
