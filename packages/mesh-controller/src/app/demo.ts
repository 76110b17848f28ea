/**
 * `npm start`: three zones on this machine, six processes, and what the mesh does with a few objects.
 *
 * The rule that must hold: whatever ends the demo, no process, socket or file of it is left; killed with -9 it leaves
 * its folder, which the next start removes, and its children end because their standard input does.
 */
import { parseArgs } from 'node:util'
import { formatPlan } from 'weir-mesh/bounds'
import {
  abortError,
  createLogger,
  describeError,
  isWeirError,
  onAbort,
  Scope,
} from 'weir-mesh/runtime'
import { Ending } from './demo-ending.ts'
import { makeFolder, removeDeadFolders, removeFolder } from './demo-folder.ts'
import { follow } from './demo-follow.ts'
import { DemoMesh } from './demo-mesh.ts'
import { Story } from './demo-story.ts'
import { Supervisor } from './demo-supervisor.ts'

const USAGE = `Usage: npm start [-- --once]

Starts three zones on this machine, each with an embedded Kubernetes API and a mesh controller, changes a few objects,
kills a controller and lets it come back, and then prints one line per change until Ctrl-C.

  --once   end when all of that is done: 0 when every zone had everything, else not 0 with the reason`

/** With --once all is over within 60 s, the end included. */
const ONCE_MS = 50_000
const STORY_MS = 120_000
const STOP_MS = 4_200
const EXIT_FAILED = 1
const EXIT_USAGE = 2

export async function main(argv: readonly string[]): Promise<number> {
  let once: boolean
  try {
    const options = { once: { type: 'boolean' }, help: { type: 'boolean' } } as const
    const { values } = parseArgs({ args: [...argv], options })
    if (values.help) {
      console.log(USAGE)
      return 0
    }
    once = values.once === true
  } catch (error) {
    console.error(`demo: ${(error as Error).message}\n\n${USAGE}`)
    return EXIT_USAGE
  }
  return run(once)
}

async function run(once: boolean): Promise<number> {
  const log = createLogger({ level: 'error', format: 'text' })
  const scope = new Scope('demo', { log })
  const print = (line: string) => void process.stdout.write(`${line}\n`)
  const removed = removeDeadFolders()
  const folder = makeFolder()
  let mesh: DemoMesh | undefined
  const ending = new Ending(scope, () => {
    mesh?.kill()
    removeFolder(folder)
  })
  try {
    print('Weir: three zones on this machine, each with a Kubernetes API and a mesh controller.')
    if (removed > 0) print(`Removed what ${removed} killed demo${removed > 1 ? 's' : ''} had left.`)
    mesh = await DemoMesh.prepare({ scope, folder })
    print(`\n${introduce(mesh)}\n`)
    const supervisor = new Supervisor(scope, ending, print)
    const deadlineMs = once ? ONCE_MS : STORY_MS
    const story = new Story({ mesh, ending, supervisor, print, deadlineMs })
    await story.tell()
    if (once) {
      print('\nAll zones have the same objects.')
      return 0
    }
    supervisor.restarts = true
    print(
      `\nChange something, for example:\n  ${kubectl(mesh, 'zone-b', `apply -f ${mesh.example}`)}`,
    )
    print('One line per change from here on; Ctrl-C ends the demo.\n')
    using _follow = follow(story.views, mesh.ledger.require(mesh.terms.changes), print)
    await ended(ending.signal)
    return 0
  } catch (error) {
    const reason = ending.signal.aborted && !isFailure(error) ? ending.signal.reason : error
    if (ending.askedToEnd) return ending.code
    console.error(`demo: ${isWeirError(reason) ? describeError(reason) : (reason as Error).stack}`)
    return EXIT_FAILED
  } finally {
    if (ending.askedToEnd) print(`\n${(ending.signal.reason as Error).message}`)
    await mesh?.stop(STOP_MS)
    await scope.close()
    removeFolder(folder)
  }
}

const isFailure = (error: unknown): boolean => isWeirError(error, 'DEMO_FAILED')

/** Settles when somebody ends the demo; rejects when it failed. */
function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    onAbort(signal, () => {
      const reason = abortError(signal)
      if (isWeirError(reason, 'DEMO_ENDED')) resolve()
      else reject(reason)
    })
  })
}

function introduce(mesh: DemoMesh): string {
  const first = mesh.zones[0]!
  const lines = [
    `Plan of ${first.name}, up to ${first.objectsMax} objects; the other zones have the same:`,
    formatPlan(first.plan!, { rowsMax: 12 }),
    '',
    'Kubernetes, with kubectl if you have it:',
    ...mesh.zones.map(({ name }) => `  ${kubectl(mesh, name, 'get widgets -w')}`),
    '',
    'Health and metrics:',
    ...mesh.zones.map(
      ({ name, statusUrl }) => `  ${name}  ${statusUrl}/readyz  ${statusUrl}/metrics`,
    ),
    `  status: curl -H "Authorization: Bearer $(cat ${mesh.tokenFile})" ${first.statusUrl}/status`,
  ]
  return lines.join('\n')
}

const kubectl = (mesh: DemoMesh, zone: string, command: string): string =>
  `kubectl --kubeconfig ${mesh.zone(zone).kubeconfig} ${command}`
