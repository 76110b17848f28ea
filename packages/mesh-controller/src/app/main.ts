/**
 * The `weir-mesh-controller` command.
 *
 * The first process reads the config, prints the plan and gives way to one that has the plan's V8 flags; that one runs
 * the controller until SIGTERM, SIGINT, or with `--exit-with-stdin` the end of its standard input.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { formatBytes, formatPlan, type Plan } from 'weir-mesh/bounds'
import { launch, launched, UntilEnd } from 'weir-mesh/cli'
import { createLogger, describeError, isWeirError, type Logger, onAbort } from 'weir-mesh/runtime'
import { type Config, readConfig } from './config.ts'
import { planController } from './limits.ts'

const USAGE = `Usage: weir-mesh-controller --config FILE [options]
       weir-mesh-controller plan --config FILE [--memory SIZE]

Replicates Kubernetes resources between clusters with no hub, inside a memory plan.

  --config FILE        the configuration, in YAML
  --memory SIZE        the memory limit, for example 200Mi; overrides the config
                       (default: the limit of the cgroup, else 256Mi)
  --log-level LEVEL    debug, info, warn or error (default info)
  --log-format FORMAT  json or text (default json)
  --exit-with-stdin    end when standard input ends, for parents that start this program
  --version, --help`

/** What a mistake of the user ends with; a controller that ended in order ends with 0. */
const EXIT_USAGE = 2
const EXIT_FAILED = 1

export async function main(argv: readonly string[]): Promise<number> {
  const args = readArgs(argv)
  if (typeof args === 'number') return args
  const { values, command } = args
  const log = createLogger({ level: values['log-level'], format: values['log-format'] })
  try {
    const config = launched<Config>() ?? (await prepare(values, command))
    if (typeof config === 'number') return config
    return await run(config, log, values['exit-with-stdin'])
  } catch (error) {
    if (!isWeirError(error)) throw error
    console.error(`weir-mesh-controller: ${describeError(error)}`)
    return error.code.startsWith('CONFIG_') ? EXIT_USAGE : EXIT_FAILED
  }
}

/**
 * The plan of a config file, for `weir plan`.
 *
 * @throws {WeirError} as `readConfig` and `planController`.
 */
export async function planOfConfig(path: string, memory?: string): Promise<Plan> {
  const config = await readConfig(path, memory === undefined ? {} : { memory })
  return (await planController(config)).plan
}

type Values = Exclude<ReturnType<typeof readArgs>, number>['values']

function readArgs(argv: readonly string[]) {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        config: { type: 'string' },
        memory: { type: 'string' },
        'log-level': { type: 'string', default: 'info' },
        'log-format': { type: 'string', default: 'json' },
        'exit-with-stdin': { type: 'boolean', default: false },
        version: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) return say(USAGE)
    if (values.version) return say(version())
    const command = positionals[0] ?? 'run'
    if (positionals.length > 1 || !['run', 'plan'].includes(command)) {
      return usage(`there is no command '${positionals.join(' ')}'`)
    }
    if (values.config === undefined) return usage('--config FILE is missing')
    if (!['debug', 'info', 'warn', 'error'].includes(values['log-level'])) {
      return usage(`--log-level is debug, info, warn or error, not '${values['log-level']}'`)
    }
    if (!['json', 'text'].includes(values['log-format'])) {
      return usage(`--log-format is json or text, not '${values['log-format']}'`)
    }
    return {
      command,
      values: values as typeof values & {
        config: string
        'log-level': 'debug' | 'info' | 'warn' | 'error'
        'log-format': 'json' | 'text'
      },
    }
  } catch (error) {
    return usage((error as Error).message.split('\n', 1)[0]!)
  }
}

/** Reads and plans; then this process either was only asked for the plan, gives way, or goes on by itself. */
async function prepare(values: Values, command: string): Promise<Config | number> {
  const { memory } = values
  const config = await readConfig(values.config, memory === undefined ? {} : { memory })
  const { plan, limits } = await planController(config)
  const from = { option: 'as given', cgroup: 'from the cgroup', default: 'by default' }
  const limit = `${formatBytes(config.memoryBytes)} ${from[config.memorySource]}`
  const text = `plan of ${config.zone}, limit ${limit}, up to ${limits.mesh.objectsMax} objects:\n${formatPlan(plan, command === 'plan' ? {} : { rowsMax: 12 })}`
  if (command === 'plan') {
    console.log(text)
    return 0
  }
  console.error(text)
  return (await launch({ config, plan })) ?? config
}

async function run(config: Config, log: Logger, exitWithStdin: boolean): Promise<number> {
  // Only here: the process that reads the config and gives way would load it for nothing.
  const [{ Controller }, { runHooks }, planned] = await Promise.all([
    import('./controller.ts'),
    import('./hooks.ts'),
    planController(config),
  ])
  using end = new UntilEnd()
  if (exitWithStdin) end.withStandardInput()
  await using controller = await Controller.open({ config, planned, log })
  using _hooks = runHooks(controller)
  log.info('the controller runs', {
    zone: config.zone,
    id: Buffer.from(controller.id).toString('hex'),
    listen: controller.addresses.join(' '),
    status: controller.statusUrl,
  })
  await new Promise<void>((resolve) => void onAbort(end.signal, resolve))
  log.info('the controller ends', { zone: config.zone, why: end.signal.reason })
  return 0
}

function usage(what: string): number {
  console.error(`weir-mesh-controller: USAGE: ${what}\n\n${USAGE}`)
  return EXIT_USAGE
}

function say(text: string): number {
  console.log(text)
  return 0
}

function version(): string {
  const path = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}
