// What the gateway reports; the composition root decides where it goes.

export interface GatewayLog {
  /** What becomes of async calls, and what went wrong with a request. */
  request(line: string): void
  /** `Forwarded [POST] to /function/x - [200] - 0.0012s`. Absent: nobody listens, and no line is made. */
  access?(line: string): void
  /** A line that a function printed. `name` without its namespace. */
  functionOutput(name: string, line: string): void
  /** Started, crashed, timed out. */
  lifecycle(name: string, line: string): void
}
