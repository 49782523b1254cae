// A request that is answered with an error: the status and the plain text for the client. Thrown by whatever decides so,
// answered by routes.ts.

export class Refused extends Error {
  readonly status: number

  /** @param text for the client, without its newline; '' for an empty answer */
  constructor(status: number, text: string) {
    super(text)
    this.status = status
  }
}
