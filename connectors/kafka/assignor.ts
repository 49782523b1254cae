// Who of a group reads which partitions: cooperative-sticky (KIP-429). Balanced, with as few moves as possible; what moves
// is given to nobody until its owner has let go of it. Pure; called by the member that leads the group.

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface Member {
  readonly id: string
  readonly topics: ReadonlySet<string>
  /** What it holds, as it says. */
  readonly owned: readonly TopicPartition[]
  /** Of the group when it got that; -1 when it does not say. */
  readonly generation: number
}

interface Load {
  readonly member: Member
  readonly partitions: Set<string>
}

export const partitionKey = (topic: string, partition: number): string => `${topic}/${partition}`

export function partitionOf(key: string): TopicPartition {
  const at = key.lastIndexOf('/')
  return { topic: key.slice(0, at), partition: Number(key.slice(at + 1)) }
}

export interface TopicPartitions {
  readonly topic: string
  readonly partitions: readonly number[]
}

/** As the protocol lists them: the partitions of each topic together. */
export function byTopic(partitions: Iterable<TopicPartition>): { topic: string; partitions: number[] }[] {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of partitions) {
    const known = topics.get(topic)
    if (known === undefined) topics.set(topic, [partition])
    else known.push(partition)
  }
  return [...topics].map(([topic, own]) => ({ topic, partitions: own }))
}

/** The reverse of `byTopic`. */
export function eachPartition(topics: readonly TopicPartitions[]): readonly TopicPartition[] {
  return topics.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })))
}

/**
 * @param partitions number of partitions of each topic that exists
 * @returns by member; every member is in it
 */
export function assign(
  members: readonly Member[],
  partitions: ReadonlyMap<string, number>,
): ReadonlyMap<string, readonly TopicPartition[]> {
  const owners = ownersOf(members, partitions)
  const loads = members.toSorted((left, right) => (left.id < right.id ? -1 : 1)).map((member): Load => ({ member, partitions: new Set() })) // prettier-ignore
  const byId = new Map(loads.map((load) => [load.member.id, load]))
  for (const [topic, count] of [...partitions].sort(([left], [right]) => (left < right ? -1 : 1))) {
    const readers = loads.filter(({ member }) => member.topics.has(topic))
    if (readers.length === 0) continue
    for (let partition = 0; partition < count; partition++) {
      const key = partitionKey(topic, partition)
      const owner = byId.get(owners.get(key) ?? '')
      ;(owner ?? lightest(readers)).partitions.add(key)
    }
  }
  balance(loads)
  return new Map(loads.map(({ member, partitions: own }) => [member.id, released(member, own, owners)]))
}

/** Claims of an earlier generation, or of two members at once, are not believed. */
function ownersOf(members: readonly Member[], partitions: ReadonlyMap<string, number>): ReadonlyMap<string, string> {
  const latest = Math.max(...members.map(({ generation }) => generation))
  const owners = new Map<string, string>()
  const contested = new Set<string>()
  for (const { id, topics, owned, generation } of members) {
    if (generation < latest) continue
    for (const { topic, partition } of owned) {
      if (!topics.has(topic) || partition >= (partitions.get(topic) ?? 0)) continue
      const key = partitionKey(topic, partition)
      if (owners.has(key)) contested.add(key)
      owners.set(key, id)
    }
  }
  for (const key of contested) owners.delete(key)
  return owners
}

function lightest(loads: readonly Load[]): Load {
  return loads.reduce((best, load) => (load.partitions.size < best.partitions.size ? load : best))
}

/** Moves one partition after the other from a member to one that has at least two fewer and reads its topic. */
function balance(loads: readonly Load[]): void {
  for (let moved = true; moved;) {
    moved = false
    const heaviestFirst = loads.toSorted((left, right) => right.partitions.size - left.partitions.size)
    for (const from of heaviestFirst) {
      const to = heaviestFirst.findLast((load) => load.partitions.size + 2 <= from.partitions.size && [...from.partitions].some((key) => load.member.topics.has(partitionOf(key).topic))) // prettier-ignore
      if (to === undefined) continue
      // The last one: what a member has had for long stays.
      const key = [...from.partitions].findLast((one) => to.member.topics.has(partitionOf(one).topic)) as string
      from.partitions.delete(key)
      to.partitions.add(key)
      moved = true
      break
    }
  }
}

/** Without what another member still holds. */
function released(member: Member, keys: ReadonlySet<string>, owners: ReadonlyMap<string, string>): TopicPartition[] {
  return [...keys].filter((key) => (owners.get(key) ?? member.id) === member.id).map(partitionOf)
}
