// The end of a test run as text: each server with its suites and their results, and the totals. Pure; called by reporter.ts.

/** What became of the tests of one file. A file that could not be run counts as one failed. */
export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

export interface FileResult extends Counts {
  /** From the root of the project: `connectors/nats/kill.test.ts`. */
  readonly path: string
}

/** A server as the tests found it, for the connector that speaks to it. */
export interface ServerRow {
  readonly name: string
  readonly connector: string
  /** Version, or `MISSING`. */
  readonly version: string
  /** Where it came from, or why there is none. */
  readonly origin: string
}

export const NONE: Counts = { passed: 0, failed: 0, skipped: 0 }

export function sum(counts: readonly Counts[]): Counts {
  return counts.reduce(
    (all, { passed, failed, skipped }) => ({
      passed: all.passed + passed,
      failed: all.failed + failed,
      skipped: all.skipped + skipped,
    }),
    NONE,
  )
}

/** The line that machines read. */
export function totalsText({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`
}

/** Suites with files of their own; every other test of a connector is among `tests`. */
const SUITES = ['conformance', 'kill', 'faults']
const REST = 'tests'

/**
 * A line for each connector whose files ran: its server, and a column for each suite. Undefined where no file of a
 * connector ran.
 */
export function serverTable(results: readonly FileResult[], servers: readonly ServerRow[]): string | undefined {
  const byConnector = Map.groupBy(results, ({ path }) => /^connectors\/([^/]+)\//.exec(path)?.[1] ?? '')
  byConnector.delete('')
  if (byConnector.size === 0) return undefined
  const columns = [...SUITES, REST]
  const rows = [...byConnector]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([connector, files]) => {
      const server = servers.find((one) => one.connector === connector)
      const cells = columns.map((suite) => cell(files.filter(({ path }) => suiteOf(path) === suite)))
      return [connector, ...(server === undefined ? ['none', ''] : [`${server.name} ${server.version}`, server.origin]), ...cells] // prettier-ignore
    })
  return aligned([['connector', 'server', 'from', ...columns], ...rows])
}

function suiteOf(path: string): string {
  const name = path.split('/').at(-1) ?? ''
  return SUITES.find((suite) => new RegExp(`^${suite}\\b`).test(name)) ?? REST
}

/** Only what there is, so that a skip or a failure stands out. */
function cell(files: readonly FileResult[]): string {
  const counts = sum(files)
  const parts = (['passed', 'failed', 'skipped'] as const).flatMap((state) => counts[state] > 0 ? [`${counts[state]} ${state}`] : []) // prettier-ignore
  return parts.length === 0 ? '-' : parts.join(', ')
}

/** Columns as wide as their widest cell. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((text, column) => text.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
