import assert from 'node:assert/strict'
import { once } from 'node:events'
import { isBuiltin } from 'node:module'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { trimNativeHeap } from './native-heap.ts'
import { forceCollection } from './process-memory.ts'

const { glibcVersionRuntime } = (
  process.report.getReport() as { header: { glibcVersionRuntime?: string } }
).header
const missing = !isBuiltin('node:ffi')
  ? `Node ${process.version} has no node:ffi`
  : glibcVersionRuntime === undefined && 'the C library is not glibc'

test('free pages between what lives go back to the system', { skip: missing }, async () => {
  const { arrayBuffers } = process.memoryUsage()
  // Small enough that the allocator does not map them by themselves.
  let all = Array.from({ length: 16_384 }, () => new ArrayBuffer(4_000))
  const kept = all.filter((_, at) => at % 64 === 0)
  all = []
  // V8 frees them on another thread.
  for (const most = arrayBuffers + 2 * 2 ** 20; process.memoryUsage().arrayBuffers > most; ) {
    forceCollection()
    await setTimeout(5)
  }
  const before = process.memoryUsage.rss()
  assert.equal(trimNativeHeap(), true)
  const given = before - process.memoryUsage.rss()
  assert.ok(given > 16 * 2 ** 20, `of 64 MB ${given} bytes were given back`)
  assert.equal(kept.length, 256)
  assert.equal(trimNativeHeap(), true)
})

test('nothing happens where nobody can be asked', async () => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
     Object.defineProperty(process, 'platform', { value: 'darwin' })
     import(${JSON.stringify(new URL('./native-heap.ts', import.meta.url).href)})
       .then(({ trimNativeHeap }) => parentPort.postMessage(trimNativeHeap()))`,
    { eval: true },
  )
  const [answer] = await once(worker, 'message')
  assert.equal(answer, false)
  await worker.terminate()
})
