// Turns: where each replica would get every event, one at a time acts. What a source is told of it; who has the turn is
// decided by src/kubernetes/lease-election.ts, and the supervisor waits for it.

/** A stretch of time in which this replica acts for an instance and no other does. */
export interface Term {
  /**
   * Higher than of every earlier holder: what is marked with a lower one comes from somebody who has been replaced. Two
   * terms of one replica have the same when nobody else had one in between.
   */
  readonly epoch: number
  /** Aborted when the term may be over; late after the process was stopped, so ask `held` too. */
  readonly signal: AbortSignal
  /** False as soon as somebody else might have begun; then never true again. Ask right before what must not be done twice. */
  held(): boolean
}

export interface Leadership {
  /** Undefined while another replica has the turn, or nobody. */
  readonly term: Term | undefined
}
