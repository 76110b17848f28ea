/**
 * `npm test`: runs the test files of the checkout with the runner of Node and ends with its summary.
 *
 *     npm test                          everything
 *     npm test -- sync tools/lock       only files whose path contains one of these
 *     npm test -- --name 'credit of 0'  only tests whose name matches
 *     npm test -- --concurrency 1       so many files at a time
 *     npm test -- --file-timeout 60     ends the run when a file takes longer than so many seconds
 *
 * A run in which a file, or the whole, holds no test is a failure: nothing was shown. So is a file that does not end,
 * although its tests have: something was left behind.
 */
import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { parseArgs } from 'node:util'
import { filesBelow, ROOT } from './files.ts'

/** Two files at a time: what the smallest machine we care for has cores, and tests with real time stay calm. */
const FILES_AT_ONCE = 2

/** The seconds one file may take; a hanging test ends as a failure with its name. */
const FILE_TIMEOUT_S = 420

/** What a hanging file has more, so that its hanging test is named first. */
const FILE_GRACE_MS = 5_000

/** Where tests lie, in the order in which they run: what checks the others comes first. */
const FOLDERS = ['tools', 'packages', 'sim', 'tests', 'bench', 'examples', 'interop'] as const

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: 'string', multiple: true },
    only: { type: 'boolean' },
    concurrency: { type: 'string', default: String(FILES_AT_ONCE) },
    'file-timeout': { type: 'string', default: String(FILE_TIMEOUT_S) },
  },
})
const fileTimeoutMs = 1_000 * Number(values['file-timeout'])
const concurrency = Number(values.concurrency)

const files = FOLDERS.filter((name) => existsSync(join(ROOT, name)))
  .flatMap((name) => filesBelow(join(ROOT, name)))
  .filter((file) => file.endsWith('.test.ts'))
  .filter((file) => {
    const path = relative(ROOT, file)
    return positionals.length === 0 || positionals.some((part) => path.includes(part))
  })

if (!(fileTimeoutMs > 0 && fileTimeoutMs < 2 ** 31)) {
  console.error(`--file-timeout takes seconds, not '${values['file-timeout']}'`)
  process.exitCode = 1
} else if (!Number.isInteger(concurrency) || concurrency < 1) {
  console.error(`--concurrency takes a number of files, not '${values.concurrency}'`)
  process.exitCode = 1
} else if (files.length === 0) {
  console.error(`No test file matches: ${positionals.join(' ')}`)
  process.exitCode = 1
} else {
  await runFiles()
}

/** Runs the files; sets the exit code. */
async function runFiles(): Promise<void> {
  // Asserts the accounting after every step; the children inherit it.
  process.env.WEIR_ASSERT = '1'
  const abort = new AbortController()
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) {
    process.once(signal, () => {
      process.exitCode = 1
      abort.abort()
    })
  }
  // A filter by name leaves files without a test, and means to.
  const filtered = values.name !== undefined || values.only === true
  const stream = run({
    files,
    concurrency,
    timeout: fileTimeoutMs,
    execArgv: ['--conditions=weir-source', '--expose-gc'],
    signal: abort.signal,
    only: values.only ?? false,
    ...(values.name !== undefined && { testNamePatterns: values.name }),
  })
  endHangingFiles(stream, abort)
  stream.on('test:pass', ({ name, nesting }) => {
    // The runner reports a file that registered no test as one test with the name of the file.
    if (nesting > 0 || filtered || !files.includes(name)) return
    process.stdout.write(`✖ ${relative(ROOT, name)} holds no test\n`)
    process.exitCode = 1
  })
  stream.on('test:summary', ({ file, success, counts }) => {
    if (file === undefined && (!success || counts.tests === 0)) process.exitCode = 1
  })
  for await (const text of stream.compose(spec)) process.stdout.write(text)
  process.stdout.write('\n')
}

/** Ends the run when a file does not end: the timeout of the runner is for tests, and not for what they leave behind. */
function endHangingFiles(stream: ReturnType<typeof run>, abort: AbortController): void {
  const timers = new Map<string, NodeJS.Timeout>()
  stream.on('test:dequeue', ({ name }) => {
    if (!files.includes(name)) return
    const end = () => {
      process.stdout.write(
        `✖ ${relative(ROOT, name)} did not end within ${values['file-timeout']} s: its tests left something open, or it ` +
          'goes on without a pause. The run ends here.\n',
      )
      process.exitCode = 1
      abort.abort()
    }
    timers.set(name, setTimeout(end, fileTimeoutMs + FILE_GRACE_MS).unref())
  })
  stream.on('test:complete', ({ name }) => {
    clearTimeout(timers.get(name))
    timers.delete(name)
  })
}
