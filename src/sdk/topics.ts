// Topic patterns of the brokers: validation, matching, and an index that finds all patterns of a topic without a scan.

/**
 * `exact`: no wildcards. `mqtt`: MQTT 5.0 §4.7, §4.8.2. `nats`: subject-based messaging. `amqp`: AMQP 0-9-1 topic exchange.
 * `s3`: a bucket, or a bucket and an event as in S3's notifications, `photos:s3:ObjectCreated:*`; events are on topics such
 * as `photos:s3:ObjectCreated:Put`. A bucket alone stands for every event but those of reading (`s3:ObjectAccessed:…`): a
 * function that reads the object of its event would invoke itself for ever. `hook`: the name of a webhook, which stands for
 * every event of it, or a webhook and one of its events, `github:push`.
 */
export type TopicSyntax = 'exact' | 'mqtt' | 'nats' | 'amqp' | 's3' | 'hook'

interface Rules {
  readonly separator: string
  /** Matches exactly one level; undefined where there is no such wildcard. */
  readonly one: string | undefined
  /** Matches the rest (mqtt, nats, s3, hook), or any number of levels anywhere (amqp). */
  readonly many: string
  /** `many` also matches nothing at all. */
  readonly manyMatchesNone: boolean
  /** `many` may stand before other levels. */
  readonly manyAnywhere: boolean
}

const RULES: Readonly<Record<Exclude<TopicSyntax, 'exact'>, Rules>> = {
  mqtt: { separator: '/', one: '+', many: '#', manyMatchesNone: true, manyAnywhere: false },
  nats: { separator: '.', one: '*', many: '>', manyMatchesNone: false, manyAnywhere: false },
  amqp: { separator: '.', one: '*', many: '#', manyMatchesNone: true, manyAnywhere: true },
  s3: { separator: ':', one: undefined, many: '*', manyMatchesNone: true, manyAnywhere: false },
  hook: { separator: ':', one: undefined, many: '*', manyMatchesNone: true, manyAnywhere: false },
}

const MQTT_TOPIC_BYTES_MAX = 65_535
/** A routing key is a short string (AMQP 0-9-1 §4.2.5.3). */
const AMQP_KEY_BYTES_MAX = 255

/** S3's and MinIO's rules for the names of buckets. */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const S3_EVENT = /^s3:[A-Za-z]+:(?:[A-Za-z]+|\*)$/
/** Of a webhook, so that it needs no escaping in a path; and of an event. */
const HOOK = /^[A-Za-z0-9._-]+(?::(?:[A-Za-z0-9._-]+|\*))?$/

/** Third level of a topic. */
const S3_READING = 'ObjectAccessed'

/** Why `pattern` is not valid in this syntax, as a sentence; undefined when it is. */
export function topicProblem(syntax: TopicSyntax, pattern: string): string | undefined {
  if (pattern === '') return 'a topic must not be empty'
  if (pattern.includes('\0')) return 'a topic must not contain NUL'
  if (syntax === 'exact') return undefined
  if (syntax === 's3') return s3Problem(pattern)
  if (syntax === 'hook') return HOOK.test(pattern) ? undefined : 'a webhook is letters, digits, dots, - and _, with :event behind it for one of its events' // prettier-ignore
  if (syntax === 'mqtt') {
    if (Buffer.byteLength(pattern) > MQTT_TOPIC_BYTES_MAX)
      return `a topic filter has at most ${MQTT_TOPIC_BYTES_MAX} bytes`
    if (pattern.startsWith('$share/')) {
      const [, group, ...filter] = pattern.split('/')
      if (group === undefined || group === '' || /[+#]/.test(group))
        return 'the group in $share/<group>/<filter> must be a name without + and #'
      return filter.length === 0 || filter.join('/') === ''
        ? '$share/<group>/<filter> needs a filter'
        : topicProblem('mqtt', filter.join('/'))
    }
  }
  if (syntax === 'amqp' && Buffer.byteLength(pattern) > AMQP_KEY_BYTES_MAX)
    return `a binding key has at most ${AMQP_KEY_BYTES_MAX} bytes`
  const { separator, one, many, manyAnywhere } = RULES[syntax]
  // Most topics are plain, and then only NATS has something to say about them.
  if (syntax !== 'nats' && !pattern.includes(many) && (one === undefined || !pattern.includes(one))) return undefined
  const levels = pattern.split(separator)
  for (const [index, level] of levels.entries()) {
    if (level === '' && syntax === 'nats') return 'a subject must not have empty tokens'
    if (syntax === 'nats' && /\s/.test(level)) return 'a subject must not contain white space'
    // NATS allows * and > inside a longer token, where they are plain characters.
    if (syntax !== 'nats' && one !== undefined && level !== one && level.includes(one))
      return `${one} must stand alone between ${separator}`
    if (syntax !== 'nats' && level !== many && level.includes(many))
      return `${many} must stand alone between ${separator}`
    if (level === many && !manyAnywhere && index !== levels.length - 1) return `${many} must be the last level`
  }
  return undefined
}

function s3Problem(pattern: string): string | undefined {
  const at = pattern.indexOf(':')
  const bucket = at === -1 ? pattern : pattern.slice(0, at)
  if (!BUCKET.test(bucket)) return 'a bucket has 3 to 63 lower-case letters, digits, dots and hyphens'
  if (at === -1 || S3_EVENT.test(pattern.slice(at + 1))) return undefined
  return 'what follows the bucket must be an event such as s3:ObjectCreated:* or s3:ObjectRemoved:Delete'
}

/**
 * The pattern as it is matched: without MQTT's `$share/<group>/`, which changes who gets an event and not which, and a bucket
 * or webhook alone as the wildcard that it is.
 */
export function matchPattern(syntax: TopicSyntax, pattern: string): string {
  if (syntax === 's3' || syntax === 'hook') return pattern.includes(':') ? pattern : `${pattern}:*`
  if (syntax !== 'mqtt' || !pattern.startsWith('$share/')) return pattern
  return pattern.slice(pattern.indexOf('/', '$share/'.length) + 1)
}

/** True when the pattern can match more than one topic. */
export function hasWildcard(syntax: TopicSyntax, pattern: string): boolean {
  if (syntax === 'exact') return false
  const { separator, one, many } = RULES[syntax]
  const plain = matchPattern(syntax, pattern)
  if (!plain.includes(many) && (one === undefined || !plain.includes(one))) return false
  return plain.split(separator).some((level) => level === one || level === many)
}

/** Does a concrete `topic` match a valid `pattern`? */
export function topicMatches(syntax: TopicSyntax, pattern: string, topic: string): boolean {
  const index = new TopicIndex<true>(syntax)
  index.add(pattern, true)
  return index.find(topic).length > 0
}

interface Node<T> {
  children: Map<string, Node<T>> | undefined
  one: Node<T> | undefined
  many: Node<T> | undefined
  values: T[] | undefined
}

/** Can a topic match both of two valid patterns? What `$` and ObjectAccessed are spared is not looked at. */
export function topicsOverlap(syntax: TopicSyntax, left: string, right: string): boolean {
  const [one, other] = [matchPattern(syntax, left), matchPattern(syntax, right)]
  if (syntax === 'exact' || one === other) return one === other
  const rules = RULES[syntax]
  return overlap(one.split(rules.separator), other.split(rules.separator), 0, 0, rules, new Set())
}

/** From these levels on. Each pair of places is looked at once: AMQP's # may stand anywhere, several times. */
function overlap(
  left: readonly string[],
  right: readonly string[],
  at: number,
  to: number,
  rules: Rules,
  seen: Set<number>,
): boolean {
  const { one, many, manyMatchesNone } = rules
  const place = at * (right.length + 1) + to
  if (seen.has(place)) return false
  seen.add(place)
  const [mine, theirs] = [left[at], right[to]]
  if (mine === undefined && theirs === undefined) return true
  const next = (byLeft: number, byRight: number): boolean =>
    overlap(left, right, at + byLeft, to + byRight, rules, seen)
  if (mine === many && ((manyMatchesNone && next(1, 0)) || (theirs !== undefined && (next(1, 1) || next(0, 1))))) return true // prettier-ignore
  if (theirs === many && ((manyMatchesNone && next(0, 1)) || (mine !== undefined && (next(1, 1) || next(1, 0))))) return true // prettier-ignore
  if (mine === undefined || theirs === undefined || mine === many || theirs === many) return false
  return (mine === theirs || mine === one || theirs === one) && next(1, 1)
}

/** Patterns to values. Built once, then only read; `find` costs by the depth of the topic, not by the number of patterns. */
export class TopicIndex<T> {
  readonly #syntax: TopicSyntax
  readonly #exact = new Map<string, T[]>()
  #root: Node<T> | undefined

  constructor(syntax: TopicSyntax) {
    this.#syntax = syntax
  }

  /** `pattern` must be valid (`topicProblem`). */
  add(pattern: string, value: T): void {
    const plain = matchPattern(this.#syntax, pattern)
    if (this.#syntax === 'exact' || !hasWildcard(this.#syntax, plain)) {
      const values = this.#exact.get(plain)
      if (values === undefined) this.#exact.set(plain, [value])
      else values.push(value)
      return
    }
    const { separator, one, many } = RULES[this.#syntax]
    let node = (this.#root ??= newNode())
    for (const level of plain.split(separator)) {
      if (level === one) node = node.one ??= newNode()
      else if (level === many) node = node.many ??= newNode()
      else {
        node.children ??= new Map()
        let child = node.children.get(level)
        if (child === undefined) node.children.set(level, (child = newNode()))
        node = child
      }
    }
    ;(node.values ??= []).push(value)
  }

  /** Values of every pattern that matches `topic`, exact ones first; a value added under two matching patterns comes twice. */
  find(topic: string): readonly T[] {
    const exact = this.#exact.get(topic)
    if (this.#root === undefined || this.#syntax === 'exact') return exact ?? []
    const rules = RULES[this.#syntax]
    // An empty routing key has no words (RabbitMQ), so # matches it and * does not.
    const levels = topic === '' && this.#syntax === 'amqp' ? [] : topic.split(rules.separator)
    const found = new Set<Node<T>>()
    // AMQP's # may stand anywhere; without remembering where we were, a.#.a.#.a.# would be tried in every combination.
    const seen = rules.manyAnywhere ? new Map<Node<T>, Set<number>>() : undefined
    const byName = this.#syntax === 's3' && levels[2] === S3_READING ? 1 : undefined
    // MQTT 5.0 §4.7.2: a wildcard at the first level does not match topics that begin with $.
    collect(this.#root, 0, { rules, levels, found, seen, byName }, this.#syntax === 'mqtt' && topic.startsWith('$'))
    if (found.size === 0) return exact ?? []
    const values = exact === undefined ? [] : [...exact]
    for (const node of found) if (node.values !== undefined) values.push(...node.values)
    return values
  }
}

function newNode<T>(): Node<T> {
  return { children: undefined, one: undefined, many: undefined, values: undefined }
}

interface Search<T> {
  readonly rules: Rules
  readonly levels: readonly string[]
  readonly found: Set<Node<T>>
  readonly seen: Map<Node<T>, Set<number>> | undefined
  /** At this level the topic is not matched by `many`: it must be asked for by name. */
  readonly byName: number | undefined
}

function collect<T>(node: Node<T>, at: number, search: Search<T>, noWildcards: boolean): void {
  const { rules, levels, found, seen } = search
  if (seen !== undefined) {
    const visited = seen.get(node)
    if (visited === undefined) seen.set(node, new Set([at]))
    else if (visited.has(at)) return
    else visited.add(at)
  }
  if (node.many !== undefined && !noWildcards && at !== search.byName) {
    if (rules.manyAnywhere) {
      for (let from = at; from <= levels.length; from++) collect(node.many, from, search, false)
    } else if (at < levels.length || rules.manyMatchesNone) {
      found.add(node.many)
    }
  }
  const level = levels[at]
  if (level === undefined) {
    if (node.values !== undefined) found.add(node)
    return
  }
  if (node.one !== undefined && !noWildcards) collect(node.one, at + 1, search, false)
  const child = node.children?.get(level)
  if (child !== undefined) collect(child, at + 1, search, false)
}
