/**
 * Loaded into a controller with `--import`: records a CPU profile from the start to the end and writes it into the folder
 * `BENCH_PROFILE`. Only in the process that has the plan's flags: the one before it gives way in the middle of a sample.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { join } from 'node:path'

const folder = process.env['BENCH_PROFILE']
if (folder !== undefined && process.env['WEIR_FLAGS'] === 'given') record(folder)

function record(path: string): void {
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: 1_000 })
  session.post('Profiler.start')
  process.once('exit', () => {
    session.post('Profiler.stop', (_error, { profile }) => {
      mkdirSync(path, { recursive: true })
      writeFileSync(join(path, `${process.pid}.cpuprofile`), JSON.stringify(profile))
    })
  })
}
