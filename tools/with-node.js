/**
 * Runs a script of the checkout under a Node that can run it: `node tools/with-node.js script.ts [args]`.
 *
 * Every npm script starts with it, so that a machine with an old Node and npm is enough. It must run on
 * that old Node itself: plain JavaScript, built-in modules only. A first argument that starts with a dash is
 * an option of Node (`--version`, `--test file`), anything else is the script.
 */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  EXIT_NO_COMMAND,
  EXIT_NO_NODE,
  findNode,
  reportNoNode,
  runToEnd,
  SOURCE_CONDITION,
} from '../packages/weir/bin/launch.js'

/**
 * Where Node keeps what it made of our sources: a process that finds it starts in a third of the CPU time, without the
 * 25 MB that it takes to strip types. It is found by the content of a file, and goes with `node_modules`.
 */
const COMPILE_CACHE = fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url))

/** `EX_USAGE` of sysexits.h. */
const EXIT_USAGE = 64

process.exitCode = await run(process.argv.slice(2))

/**
 * @param {string[]} args the script and its arguments
 * @returns {Promise<number>} the exit code
 */
async function run(args) {
  const first = args[0]
  if (first === undefined) {
    console.error(
      'with-node: a script to run is missing: node tools/with-node.js <script> [arguments]',
    )
    return EXIT_USAGE
  }
  if (!first.startsWith('-') && !existsSync(first)) {
    console.error(`with-node: ${first} does not exist.`)
    return EXIT_NO_COMMAND
  }
  const node = findNode(import.meta.url)
  if (node === undefined) {
    reportNoNode('with-node')
    return EXIT_NO_NODE
  }
  process.env.NODE_COMPILE_CACHE ??= COMPILE_CACHE
  return runToEnd(node, [SOURCE_CONDITION, ...args], (error) => {
    console.error(`with-node: ${node} cannot be started: ${error.message}`)
    return EXIT_NO_COMMAND
  })
}
