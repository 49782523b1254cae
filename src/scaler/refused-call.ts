// A call that is answered with a gRPC status other than OK. Thrown by the service, told to the client by its server.

/** gRPC status codes ("Status codes and their use in gRPC"), those that are used here. */
export const STATUS = {
  OK: 0,
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const

export type StatusName = keyof typeof STATUS

/** `message` says what is wrong and how to mend it. Never holds a secret. */
export class RefusedCall extends Error {
  override readonly name = 'RefusedCall'
  readonly status: StatusName

  constructor(status: StatusName, message: string) {
    super(message)
    this.status = status
  }
}
