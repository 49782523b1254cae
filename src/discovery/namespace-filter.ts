// Which namespaces are looked at: an allow list and a deny list of simple globs. Pure; called by the listings of both kinds
// and by the check of hub.yaml.

export interface NamespaceRules {
  /** Globs with `*` and `?`; empty: all. */
  readonly allow: readonly string[]
  /** Wins over `allow`. */
  readonly deny: readonly string[]
}

export type NamespaceTest = (namespace: string) => boolean

export function namespaceTest({ allow, deny }: NamespaceRules): NamespaceTest {
  return (namespace) =>
    (allow.length === 0 || allow.some((glob) => globMatches(glob, namespace))) &&
    !deny.some((glob) => globMatches(glob, namespace))
}

/** At an API server, one by one: two watches for each. */
export const NAMED_NAMESPACES_MAX = 60

/** What can be read one by one, each once; undefined: all of the cluster has to be. */
export function namedNamespaces({ allow }: Pick<NamespaceRules, 'allow'>): readonly string[] | undefined {
  return allow.length === 0 || allow.some((glob) => /[*?]/.test(glob)) ? undefined : [...new Set(allow)]
}

/** `*` any run of characters, `?` exactly one. Linear in practice: it only ever goes back to the latest star. */
export function globMatches(glob: string, text: string): boolean {
  let at = 0
  let globAt = 0
  let star = -1
  let starAt = 0
  while (at < text.length) {
    if (glob[globAt] === '*') {
      star = globAt++
      starAt = at
    } else if (glob[globAt] === '?' || glob[globAt] === text[at]) {
      globAt += 1
      at += 1
    } else if (star >= 0) {
      globAt = star + 1
      at = ++starAt
    } else {
      return false
    }
  }
  while (glob[globAt] === '*') globAt += 1
  return globAt === glob.length
}
