// Where the dead letters of a run are: in the hub's own store, or in the broker's place. Called by scenarios.ts.

import { join } from 'node:path'

import { SqliteDeadLetters } from '../../src/delivery/dead-letters.ts'
import type { Trial } from './trial.ts'

const PAGE = 1000

/** Of one function, as they were published. The hub that wrote them must have ended. */
export async function deadLetterBodies(trial: Trial, functionName: string): Promise<readonly string[]> {
  const bodies = await lettersOf(trial, functionName)
  return bodies.map((body) => trial.broker.eventOf?.(body) ?? body)
}

async function lettersOf(trial: Trial, functionName: string): Promise<readonly string[]> {
  const { connector, broker, run } = trial.setting
  if (connector.capabilities.reject === 'hub') return stored(join(trial.stateDir(), 'dead-letters.db'), functionName)
  if (broker.deadLetters === undefined)
    throw new Error('the driver of a broker with its own dead letters must read them')
  return (await broker.deadLetters(run, functionName)).map((body) => Buffer.from(body).toString())
}

function stored(path: string, functionName: string): readonly string[] {
  using letters = new SqliteDeadLetters(path)
  const bodies: string[] = []
  for (let after = 0; ;) {
    const page = letters.list(PAGE, after)
    for (const { function: name, message, number } of page) {
      if (name.split('.')[0] === functionName) bodies.push(Buffer.from(message.body).toString())
      after = number
    }
    if (page.length < PAGE) return bodies
  }
}
