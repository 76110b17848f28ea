/**
 * Loaded into the API server of a bench with `--import`: counts the requests that do not come from the bench itself, and
 * adds the counts to the file `BENCH_COUNTS` on SIGUSR2.
 */
import { subscribe } from 'node:diagnostics_channel'
import { writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'

const counts: { [method: string]: number } = { GET: 0, POST: 0, PATCH: 0, PUT: 0, DELETE: 0 }

subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage }
  if (request.headers['user-agent'] === 'weir-bench') return
  const method = request.method ?? ''
  counts[method] = (counts[method] ?? 0) + 1
})

process.on('SIGUSR2', () => {
  writeFileSync(process.env['BENCH_COUNTS']!, JSON.stringify(counts))
})
