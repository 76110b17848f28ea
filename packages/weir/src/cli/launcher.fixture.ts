/** A program for launcher.test.ts: launches itself and tells how it runs, as one line of JSON. */
import { planMemory, term } from '../bounds/index.ts'
import { launch, launched } from './index.ts'

const plan = planMemory([term({ name: 'test.a', why: 'a test' })], {
  limitBytes: 2 ** 28,
  floorBytes: process.argv[2] === 'library' ? 0 : 2 ** 26,
})
const config = launched<{ readonly from: number }>()
const execve = process.argv[2] === 'spawn' ? ({ execve: false } as const) : {}
const code = config ? undefined : await launch({ plan, config: { from: process.pid }, ...execve })
if (code === undefined) {
  const { pid, execArgv, argv, env } = process
  const again = launched()
  const flags = env['WEIR_FLAGS']
  if (process.argv[3] === 'wait') {
    process.on('SIGTERM', () => process.exit(9))
    setTimeout(() => {}, 60_000)
  } else process.exitCode = 7
  console.log(JSON.stringify({ pid, execArgv, args: argv.slice(2), config, again, flags }))
} else process.exitCode = code
