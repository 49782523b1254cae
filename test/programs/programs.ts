// All programs of other people that examples of the READMEs call. Called by the tests of the examples and by the set-up.

import { reasonOf } from '../servers/provide.ts'
import { provideAwsCli } from './awscli.ts'
import { provideFaasCli } from './faas-cli.ts'
import { provideGoSdk } from './go-sdk.ts'
import { provideKafkaAcls } from './kafka-acls.ts'
import { provideHelm, provideKubectl } from './kubernetes-tools.ts'
import { provideMc } from './mc.ts'
import { provideNatsCli } from './natscli.ts'
import type { Program, ProgramName, Provide } from './program.ts'
import { providePromtool } from './promtool.ts'
import { provideRabbitAdmin } from './rabbitmqadmin.ts'

export const PROGRAMS: Readonly<Record<ProgramName, Provide>> = {
  mc: provideMc,
  natscli: provideNatsCli,
  'kafka-acls': provideKafkaAcls,
  rabbitmqadmin: provideRabbitAdmin,
  awscli: provideAwsCli,
  'faas-cli': provideFaasCli,
  kubectl: provideKubectl,
  helm: provideHelm,
  promtool: providePromtool,
  'go-sdk': provideGoSdk,
}

/** @throws ServerUnavailable */
export async function provideProgram(name: ProgramName): Promise<Program> {
  return await PROGRAMS[name]((line) => console.error(`${name}: ${line}`))
}

/** Why there is none, for `context.skip`; undefined when there is one, set up where it was missing. */
export async function noProgram(name: ProgramName): Promise<string | undefined> {
  return await reasonOf(name, () => provideProgram(name))
}
