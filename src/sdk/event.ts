// The event as the hub sees it, whatever broker it came from. Opaque bytes and HTTP-safe headers, nothing parsed.

/** One event, as a source read it from its broker. Immutable. */
export interface EventMessage {
  /** Equal on every redelivery of the same event where the broker lets us tell, e.g. `kafka:orders/3@1042`. */
  readonly id: string
  /** Connector instance the event came from, e.g. `mqtt` or `mqtt-eu`. */
  readonly source: string
  /** The concrete topic the event arrived on; sent as `X-Topic`. */
  readonly topic: string
  /** Opaque: the hub never re-encodes it. */
  readonly body: Uint8Array
  /** Content type stated by the broker; without it the connector's configured one is sent. */
  readonly contentType?: string
  /** Broker metadata such as `X-Mqtt-Qos`. Names and values must be HTTP-safe: build them with `HeaderWriter`. */
  readonly headers: Readonly<Record<string, string>>
  /** Further values of those headers, each sent as a header of its own: flat name, value list in their order. */
  readonly moreHeaders?: readonly string[]
  /** Events with equal keys are invoked one at a time per function, in arrival order. Absent: unordered. */
  readonly orderingKey?: string
  /** The broker's delivery count, from 1; 1 where the broker cannot tell. */
  readonly attempt: number
  /** When the event was produced, or received where the broker does not say; Unix milliseconds. */
  readonly timestampMs: number
  /** Full name (`name.namespace`) of the only function this event is for; without it the topic decides. */
  readonly target?: string
  /** Appended to the function's route, e.g. `/v1/items?limit=5`. Starts with `/` or `?`. */
  readonly path?: string
}
