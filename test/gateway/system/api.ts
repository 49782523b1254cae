// The gateway's REST API as a client speaks it: JSON in, status and text out.

import type { Answer, Rig } from '../rig.ts'

export interface Api {
  get(path: string): Promise<Answer>
  post(path: string, body: unknown): Promise<Answer>
  put(path: string, body: unknown): Promise<Answer>
  delete(path: string, body?: unknown): Promise<Answer>
  /** The JSON of a 200. */
  read<T>(path: string): Promise<T>
}

/** A body that is a string is sent as it is. */
export function apiOf(rig: Pick<Rig, 'call'>, authorization?: string): Api {
  const send = (method: string, path: string, body?: unknown): Promise<Answer> =>
    rig.call(path, {
      method,
      headers: authorization === undefined ? {} : { Authorization: authorization },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
  return {
    get: (path) => send('GET', path),
    post: (path, body) => send('POST', path, body),
    put: (path, body) => send('PUT', path, body),
    delete: (path, body) => send('DELETE', path, body),
    async read<T>(path: string): Promise<T> {
      const { status, text } = await send('GET', path)
      if (status !== 200) throw new Error(`${path}: ${status} ${text}`)
      return JSON.parse(text) as T
    },
  }
}
