// The rules on who may import whom, as a function from files to violations. Pure, so that it can be shown to fail.

/** A source file: path from the root of the project, with `/`. */
export interface SourceText {
  readonly path: string
  readonly text: string
}

/** Modules of src, and which of them each may import. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  sdk: [],
  store: ['sdk'],
  telemetry: ['sdk'],
  kubernetes: ['sdk', 'telemetry'],
  discovery: ['sdk', 'kubernetes', 'telemetry'],
  scaler: ['sdk', 'telemetry'],
  invoke: ['sdk', 'telemetry'],
  delivery: ['sdk', 'store', 'invoke', 'telemetry'],
  gateway: ['sdk', 'store', 'delivery', 'invoke', 'telemetry'],
  hub: ['sdk', 'store', 'telemetry', 'kubernetes', 'discovery', 'invoke', 'delivery', 'gateway', 'scaler'],
  cli: ['sdk', 'store', 'telemetry', 'kubernetes', 'discovery', 'invoke', 'delivery', 'gateway', 'hub'],
}

const CONNECTOR_FILES = [
  'manifest.ts',
  'connector.ts',
  'broker.ts',
  'conformance.test.ts',
  'README.md',
  'example.yaml',
] as const

const MAY_HAVE_DEFAULT_EXPORT = new Set(['connector.ts', 'embedded.ts'])

/** Specifiers of `import`, `export … from`, `import()` and of scripts given to workers by `new URL(…, import.meta.url)`. */
export function importsOf(text: string): string[] {
  const patterns = [
    /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^\s*import\s*['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"`]([^'"`]+)['"`]/g,
    /\bnew URL\(\s*['"`](\.[^'"`]+\.[cm]?[jt]s)['"`],\s*import\.meta\.url/g,
  ]
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1] as string))
}

/** Every violation as `path: what is wrong`; empty when the architecture holds. */
export function architectureProblems(files: readonly SourceText[]): string[] {
  const connectors = connectorNames(files)
  const modules = files.filter(({ path }) => path.startsWith('src/') && isProduction(path))
  const parts = files.filter(({ path }) => path.startsWith('connectors/') && isProduction(path))
  return [
    ...modules.flatMap((file) => [...wrongArrows(file), ...namedConnectors(file, connectors)]),
    ...parts.flatMap(foreignImports),
    ...connectors.flatMap((name) => clientsBehindManifest(name, files)),
    ...[...modules, ...parts].flatMap(defaultExports),
    ...connectors.flatMap((name) => missingFiles(name, files)),
  ]
}

/** broker.ts, rig.ts and tests stand on the other side of the connector; they may import anything. */
function isProduction(path: string): boolean {
  return path.endsWith('.ts') && !path.endsWith('.test.ts') && !/^connectors\/[^/]+\/(broker|rig)\.ts$/.test(path)
}

function connectorNames(files: readonly SourceText[]): string[] {
  return [...new Set(files.flatMap(({ path }) => /^connectors\/([^/]+)\//.exec(path)?.[1] ?? []))]
}

/** Where a relative specifier leads, from the root of the project; undefined for packages. */
function resolve(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return new URL(specifier, `file:///${from}`).pathname.slice(1)
}

function wrongArrows({ path, text }: SourceText): string[] {
  const module = path.split('/')[1] as string
  const allowed = MAY_IMPORT[module]
  if (allowed === undefined) return [`${path}: src/${module} is not a module of the architecture`]
  return importsOf(text).flatMap((specifier) => {
    const target = resolve(path, specifier)
    if (target === undefined || target === 'package.json') return []
    const [top, to] = target.split('/') as [string, string?]
    if (top !== 'src') return [`${path}: imports ${target}, outside of src`]
    return to === module || allowed.includes(to ?? '') ? [] : [`${path}: src/${module} must not import src/${to}`]
  })
}

function namedConnectors({ path, text }: SourceText, connectors: readonly string[]): string[] {
  return connectors
    .filter((name) => new RegExp(`['"\`/]connectors/${name}\\b`).test(text))
    .map((name) => `${path}: names connectors/${name}; connectors are found by folder`)
}

function foreignImports({ path, text }: SourceText): string[] {
  const folder = path.split('/').slice(0, 2).join('/')
  return importsOf(text).flatMap((specifier) => {
    const target = resolve(path, specifier)
    if (target === undefined || target.startsWith('src/sdk/') || target.startsWith(`${folder}/`)) return []
    return [`${path}: a connector must not import ${target}`]
  })
}

/** Follows manifest.ts through its folder: a package anywhere would be loaded by listing the connectors. */
function clientsBehindManifest(name: string, files: readonly SourceText[]): string[] {
  const folder = `connectors/${name}/`
  const texts = new Map(files.map(({ path, text }) => [path, text]))
  const seen = new Set([`${folder}manifest.ts`])
  const problems: string[] = []
  for (const path of seen) {
    for (const specifier of importsOf(texts.get(path) ?? '')) {
      const target = resolve(path, specifier)
      if (target?.startsWith(folder)) seen.add(target)
      else if (target === undefined && !specifier.startsWith('node:'))
        problems.push(`${path}: manifest.ts must import no package, and this brings ${specifier}`)
    }
  }
  return problems
}

function defaultExports({ path, text }: SourceText): string[] {
  const isDefault = /^\s*export default\b|^\s*export\s*\{[^}]*\bas default\b/m.test(text)
  if (!isDefault || MAY_HAVE_DEFAULT_EXPORT.has(path.split('/').at(-1) as string)) return []
  return [`${path}: has a default export`]
}

function missingFiles(name: string, files: readonly SourceText[]): string[] {
  const paths = new Set(files.map(({ path }) => path))
  return CONNECTOR_FILES.filter((file) => !paths.has(`connectors/${name}/${file}`)).map(
    (file) => `connectors/${name}: has no ${file}`,
  )
}
