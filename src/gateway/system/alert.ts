// `/system/alert`: Alertmanager's webhook scales functions up by a step, and back (OpenFaaS contract, alerts).

import { HubError, errorText } from '../../sdk/index.ts'
import { sendEmpty, sendText } from '../http.ts'
import type { SystemCall } from './call.ts'
import { readFields } from './fields.ts'
import type { Fields } from './fields.ts'
import { Refused } from './refused.ts'

const BODY_BYTES_MAX = 1024 * 1024
const LINE_CHARS_MAX = 300

export async function alert(call: SystemCall): Promise<void> {
  const failed: string[] = []
  for (const [index, fields] of (await readAlerts(call)).entries()) {
    try {
      await scaleFor(call, fields)
    } catch (error) {
      if (!(error instanceof Refused) && !(error instanceof HubError)) throw error
      failed.push(`[${index}] ${oneLine(errorText(error))}\n`)
    }
  }
  if (failed.length === 0) return sendEmpty(call.response, 200)
  sendText(call.response, 500, failed.join(''))
}

/** It may name what the client sent. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, ' ').slice(0, LINE_CHARS_MAX)
}

async function readAlerts({ request }: SystemCall): Promise<readonly Fields[]> {
  try {
    return (await readFields(request, BODY_BYTES_MAX)).objects('alerts')
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 400) throw error
    throw new Refused(400, 'Unable to parse alert, bad format.')
  }
}

async function scaleFor({ deployments }: SystemCall, fields: Fields): Promise<void> {
  const name = fields.object('labels').text('function_name')
  const status = fields.text('status')
  if (name === '') throw new Refused(400, 'the alert has no label function_name')
  if (status !== 'firing' && status !== 'resolved')
    throw new Refused(400, `status (${status}) is neither firing nor resolved`)
  await deployments.scaleForAlert(name, status)
}
