// The command line's grammar. Each command is a function of its own; nothing here does work.

import { Command, CommanderError, Option } from 'commander'

import { HubError } from '../sdk/index.ts'
import { VERSION } from '../telemetry/version.ts'
import type { RedriveOptions } from './commands/dead-letters.ts'
import type { DevOptions } from './commands/dev.ts'
import type { DoctorOptions } from './commands/doctor.ts'
import type { DryRunOptions } from './commands/dry-run.ts'
import type { EmitOptions } from './commands/emit.ts'
import type { ExplainOptions } from './commands/explain.ts'
import type { GatewayCommandOptions } from './commands/gateway.ts'
import type { LintOptions, PlanOptions } from './commands/plan.ts'
import type { RunOptions } from './commands/run.ts'
import type { TailOptions } from './commands/tail.ts'
import { SHELLS } from './completion.ts'
import { GATEWAY_STATE_DIR, settingOptions } from './gateway-flags.ts'
import type { CronNextOptions } from './commands/cron-next.ts'
import type { ChoiceOptions, PlaceOptions } from './letter-places.ts'
import { EXIT, errorLine, exitCode } from './output.ts'
import type { Output } from './output.ts'

/** Of every command that reads the wiring. */
const CONFIG = new Option('-c, --config <file>', 'hub.yaml')
const STACK = new Option('--stack <files...>', 'read the functions from stack files instead of a gateway or a cluster')
const STRICT = new Option('--strict', 'end with 1 for warnings, too')
const GATEWAY = new Option('--gateway <url>', 'list the functions of this gateway')
const KUBERNETES = new Option('--kubernetes', 'list the functions of the cluster; with --gateway, compare both')
/** Of the commands that run functions. */
const FILTER = new Option('--filter <glob>', 'only functions with such names; * stands for anything')
const REGEX = new Option('--regex <expression>', 'only functions whose names match')
const NO_WATCH = new Option('--no-watch', 'do not follow changes of stack files and of the code of functions')

/** Runs one command line and returns its exit code. Never throws. */
export async function execute(args: readonly string[], output: Output, env: NodeJS.ProcessEnv): Promise<number> {
  let code: number = EXIT.ok
  const program = new Command('connector-hub')
    .description('Event connectors for OpenFaaS that settle an event only after its functions have settled it.')
    .version(VERSION)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => output.write(text),
      writeErr: (text) => output.warn(text),
      outputError: (text) => output.warn(errorLine(usageError(text), output.warnColor)),
    })

  program
    .command('run')
    .description('run connectors against a gateway until told to stop')
    .argument(
      '[connectors...]',
      'instances of the configuration, or connector types configured by the environment alone',
    )
    .addOption(CONFIG)
    .option('--json', 'log lines as JSON objects, whatever log.format says')
    .addHelpText('after', '\nExample:\n  connector-hub run cron mqtt -c hub.yaml')
    .action(async (names: string[], options: RunOptions) => {
      const { run } = await import('./commands/run.ts')
      code = await run(names, options, output, env)
    })

  program
    .command('scaler')
    .description('tell KEDA how much waits for each connector, until told to stop; consumes nothing')
    .argument(
      '[connectors...]',
      'instances of the configuration, or connector types configured by the environment alone',
    )
    .addOption(CONFIG)
    .option('--json', 'log lines as JSON objects, whatever log.format says')
    .addHelpText('after', '\nExample:\n  connector-hub scaler -c hub.yaml')
    .action(async (names: string[], options: RunOptions) => {
      const { scaler } = await import('./commands/scaler.ts')
      code = await scaler(names, options, output, env)
    })

  program
    .command('dev')
    .description('run the functions of a stack file, embedded brokers and the hub in one process')
    .argument('[stack]', 'stack file; default: stack.yaml here')
    .addOption(new Option('-c, --config <file>', 'hub.yaml, for connectors that need one, such as webhooks'))
    .option('--port <n>', 'port of the bundled gateway; 0: any free one', '8080')
    .addOption(FILTER)
    .addOption(REGEX)
    .addOption(NO_WATCH)
    .option('--verbose', 'a line for each call, too')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExample:\n  connector-hub dev deploy/examples/quickstart/stack.yaml')
    .action(async (stack: string | undefined, options: DevOptions) => {
      const { dev } = await import('./commands/dev.ts')
      code = await dev(stack, options, output, env)
    })

  const gatewayCommand = program
    .command('gateway')
    .description('run the bundled gateway alone: an OpenFaaS gateway whose functions are processes of this machine')
    .option('--stack <files...>', 'deploy the functions of these stack files, and follow them')
    .addOption(FILTER)
    .addOption(REGEX)
    .addOption(NO_WATCH)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port; 0: any free one', '8080')
    .option('--metrics-port <n>', 'port of /metrics alone (default: 8082; with --port 0 any free one)')
    .option('--state-dir <dir>', 'where deployments, secrets and async calls are kept', GATEWAY_STATE_DIR)
    .option('--secrets-dir <dir>', 'where functions find secrets, too, if it can be written', '/var/openfaas/secrets')
    .option('--drain-timeout <duration>', 'at the end, for all running calls to end', '25s')
    .option('--no-access-log', 'print no line for each call')
    .option('--json', 'one JSON object a line')
  for (const option of settingOptions()) gatewayCommand.addOption(option)
  gatewayCommand
    .addHelpText(
      'after',
      '\nPasswords: basic_auth=true with the files basic-auth-user and basic-auth-password in secret_mount_path, or' +
        '\nHUB_GATEWAY_AUTH_USERNAME and HUB_GATEWAY_AUTH_PASSWORD (or …_FILE), in the environment.\n' +
        '\nExample:\n  connector-hub gateway --stack stack.yaml',
    )
    .action(async (options: GatewayCommandOptions) => {
      const { gateway } = await import('./commands/gateway.ts')
      code = await gateway(options, output, env)
    })

  program
    .command('plan')
    .description('show which function is triggered by which topic or schedule, without touching a broker')
    .addOption(CONFIG)
    .addOption(STACK)
    .addOption(GATEWAY)
    .addOption(KUBERNETES)
    .option('--against <plan.json>', 'print only what is different from a plan that --json wrote earlier')
    .addOption(STRICT)
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  connector-hub plan --stack stack.yaml')
    .action(async (options: PlanOptions) => {
      const { plan } = await import('./commands/plan.ts')
      code = await plan(options, output, env)
    })

  program
    .command('dry-run')
    .description('show what the events at the brokers would do; consumes nothing and invokes nothing')
    .argument(
      '[connectors...]',
      'instances of the configuration, or connector types configured by the environment alone',
    )
    .addOption(CONFIG)
    .addOption(STACK)
    .addOption(GATEWAY)
    .addOption(KUBERNETES)
    .option('--count <n>', 'end after so many events')
    .option('--for <duration>', 'end after this time', '30s')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExample:\n  connector-hub dry-run mqtt --stack stack.yaml --for 10s')
    .action(async (names: string[], options: DryRunOptions) => {
      const { dryRun } = await import('./commands/dry-run.ts')
      code = await dryRun(names, options, output, env)
    })

  program
    .command('explain')
    .description('say why an event does or does not trigger each function, without touching a broker')
    .option('--topic <topic>', 'concrete topic of the event')
    .option('--event <id>', 'instead: what became of this event in a running hub')
    .option(
      '--from <file>',
      'instead: an event as dry-run --json or dead-letters show --json writes it; - for standard input',
    )
    .option(
      '--hub <url>',
      'admin address of a running hub: says what holds its functions up; with --event by default http://127.0.0.1:8081',
    )
    .option('--connector <name>', 'where it comes from: an instance of the configuration, or a connector type')
    .option('--header <name=value...>', 'its headers, for filters')
    .option('--key <key>', 'its ordering key, for filters')
    .option('--data <data>', 'its body: a text, @file, or - for standard input')
    .addOption(CONFIG)
    .addOption(STACK)
    .addOption(GATEWAY)
    .addOption(KUBERNETES)
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  connector-hub explain --connector mqtt --topic sensors/1/temp --data 21.5 --stack stack.yaml',
    )
    .action(async (options: ExplainOptions) => {
      const { explain } = await import('./commands/explain.ts')
      code = await explain(options, output, env)
    })

  program
    .command('emit')
    .description('publish test events to the real broker of a connector')
    .argument(
      '<connector>',
      'an instance of the configuration, or a connector type configured by the environment alone',
    )
    .argument('<topic>', 'what to publish to, in the connector’s own words; its README says which')
    .addOption(CONFIG)
    .option('--data <data>', 'body: a text, @file, or - for standard input')
    .option('--key <key>', 'what orders the event, where the broker has such a thing')
    .option('--header <name=value...>', 'headers, where the broker has them')
    .option('--content-type <type>', 'of the body')
    .option('--count <n>', 'how many', '1')
    .option('--rate <n/s>', 'events a second, at most')
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExample:\n  connector-hub emit mqtt sensors/1/temp --data 21.5')
    .action(async (name: string, topic: string, options: EmitOptions) => {
      const { emit } = await import('./commands/emit.ts')
      code = await emit(name, topic, options, output, env)
    })

  program
    .command('lint')
    .description('check configuration and annotations, without network')
    .addOption(CONFIG)
    .option('--stack <files...>', 'stack files')
    .addOption(STRICT)
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  connector-hub lint -c hub.yaml --stack stack.yaml')
    .action(async (options: LintOptions) => {
      const { lint } = await import('./commands/plan.ts')
      code = await lint(options, output, env)
    })

  program
    .command('doctor')
    .description('check that gateway and brokers can be reached and used; consumes and changes nothing')
    .argument('[connectors...]', 'connector types configured by the environment alone')
    .addOption(CONFIG)
    .addOption(STACK)
    .addOption(GATEWAY)
    .addOption(KUBERNETES)
    .option('--timeout <duration>', 'how long the gateway and each broker may take', '20s')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  connector-hub doctor -c hub.yaml')
    .action(async (types: string[], options: DoctorOptions) => {
      const { doctor } = await import('./commands/doctor.ts')
      code = await doctor(types, options, output, env)
    })

  program
    .command('tail')
    .description('follow what becomes of events in a running hub')
    .option('--hub <url>', 'admin address of the hub', 'http://127.0.0.1:8081')
    .option('--connector <name>', 'only of this instance')
    .option('--function <name>', 'only of this function, by its full name')
    .option(
      '--outcome <outcome>',
      'only acked, filtered, unmatched, deadLettered, returned, or failed for the last two',
    )
    .option('--json', 'one JSON object a line')
    .addHelpText('after', '\nExample:\n  connector-hub tail --connector mqtt --outcome failed')
    .action(async (options: TailOptions) => {
      const { tail } = await import('./commands/tail.ts')
      code = await tail(options, output)
    })

  program
    .command('list')
    .description('list the connectors and what each promises')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  connector-hub list')
    .action(async (options: { json?: boolean }) => {
      const { list } = await import('./commands/list.ts')
      code = await list(options, output)
    })

  program
    .command('create')
    .description('show or write the smallest configuration of a connector')
    .argument('<connector>', 'a name from connector-hub list')
    .option('--dir <folder>', 'write hub.yaml and stack.yaml there; nothing is overwritten')
    .option('--json', 'one JSON document')
    .addHelpText('after', '\nExample:\n  connector-hub create kafka --dir my-hub')
    .action(async (type: string, options: { dir?: string; json?: boolean }) => {
      const { create } = await import('./commands/create.ts')
      code = create(type, options, output)
    })

  program
    .command('cron')
    .description('work with schedules')
    .command('next')
    .description('show the coming fires of a schedule expression')
    .argument('<expression>', 'e.g. "0 9 * * 1-5", "@every 30s", "CRON_TZ=Europe/London 30 1 * * *"')
    .option('--count <n>', 'how many', '5')
    .option('--from <date>', 'ISO date to start after; default: now')
    .option('--zone <zone>', 'time zone of an expression that names none')
    .option(
      '--simulate-down <window>',
      'show what becomes of the fires while the hub is away: 02:10-05:40, or two ISO dates with / between them',
    ) // prettier-ignore
    .option('--catch-up <policy>', 'then: none, last or all; default: each of them')
    .option('--overlap <policy>', 'then: allow, forbid or replace')
    .option('--takes <duration>', 'then: how long the function is busy with a fire')
    .option('--jitter <duration>', 'then: connector.jitter of the function')
    .option('--function <name>', 'then: its full name, which the jitter goes by')
    .option('--catch-up-window <duration>', 'then: older fires are not made up for; default: 24h')
    .option('--catch-up-max <n>', 'then: most fires that all makes up for; default: 100')
    .option('--json', 'one JSON document')
    .addHelpText(
      'after',
      '\nExample:\n  connector-hub cron next "30 1 * * *" --zone Europe/London --from 2026-03-27T00:00:00Z' +
        '\n  connector-hub cron next "*/20 * * * *" --simulate-down 02:10-05:40 --catch-up last',
    )
    .action(async (expression: string, options: CronNextOptions) => {
      const { cronNext } = await import('./commands/cron-next.ts')
      code = cronNext(expression, options, output, Date.now())
    })

  program
    .command('completion')
    .description('print what makes a shell complete the commands and options')
    .argument('<shell>', `one of ${SHELLS.join(', ')}`)
    .addHelpText('after', '\nExample:\n  connector-hub completion bash >> ~/.bashrc')
    .action(async (shell: string) => {
      const { completion } = await import('./commands/completion.ts')
      code = completion(shell, program, output)
    })

  const letters = program.command('dead-letters').description('work with what could not be delivered')
  const placed = (command: Command): Command =>
    command
      .addOption(CONFIG)
      .option('--state-dir <dir>', 'where the store of the hub is; default: that of the configuration')
      .option('--broker <instance>', 'instead: those that the broker of this connector keeps')
      .option('--async', 'instead: async calls of the bundled gateway; --state-dir is then that of the gateway')
      .option('--place <names...>', 'queues or topics there that hold them, where the configuration does not say')
      .option('--json', 'for machines')
  const chosen = (command: Command): Command =>
    placed(
      command
        .option('--function <name>', 'of this function, by its full name')
        .option('--topic <topic>', 'of this topic')
        .option('--connector <name>', 'of this instance')
        .option('--before <date>', 'that failed before this ISO date'),
    )
  chosen(letters.command('list').description('list them, oldest first').option('--limit <n>', 'how many', '50'))
    .addHelpText('after', '\nExample:\n  connector-hub dead-letters list --function billing.openfaas-fn')
    .action(async (options: ChoiceOptions & { limit: string }) => {
      const { listLetters } = await import('./commands/dead-letters.ts')
      code = await listLetters(options, output, env)
    })
  placed(letters.command('show').description('show one with its headers and body').argument('<id>'))
    .addHelpText('after', '\nExample:\n  connector-hub dead-letters show 7')
    .action(async (id: string, options: PlaceOptions) => {
      const { showLetter } = await import('./commands/dead-letters.ts')
      code = await showLetter(id, options, output, env)
    })
  chosen(
    letters.command('redrive').description('send them again, each to the function that failed').argument('[ids...]'),
  )
    .option('--all', 'all of them')
    .option('--rate <n/s>', 'events a second, at most')
    .option('--dry-run', 'only say how many')
    .addHelpText(
      'after',
      '\nExample:\n  connector-hub dead-letters redrive --function billing.openfaas-fn --rate 10/s --dry-run',
    )
    .action(async (ids: string[], options: RedriveOptions) => {
      const { redriveLetters } = await import('./commands/dead-letters.ts')
      code = await redriveLetters(ids, options, output, env)
    })
  chosen(letters.command('purge').description('delete them for good').argument('[ids...]'))
    .option('--all', 'all of them')
    .option('--dry-run', 'only say how many')
    .addHelpText('after', '\nExample:\n  connector-hub dead-letters purge --before 2026-01-01T00:00:00Z --dry-run')
    .action(async (ids: string[], options: RedriveOptions) => {
      const { purgeLetters } = await import('./commands/dead-letters.ts')
      code = await purgeLetters(ids, options, output, env)
    })

  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    // Commander has already written its own message, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage
    output.warn(errorLine(error, output.warnColor))
    return exitCode(error)
  }
}

/** What commander says of a command line, in our form: `error: unknown option '--jsno'\n(Did you mean --json?)`. */
function usageError(text: string): HubError {
  const [what = '', ...more] = text.trim().split('\n')
  const guess = more.map((line) => line.replace(/^\((.*)\)$/, '$1')).join(' ')
  return new HubError('HUB_USAGE', what.replace(/^error: /, ''), {
    hint: `${guess === '' ? '' : `${guess} `}Add --help to see what there is.`,
  })
}
