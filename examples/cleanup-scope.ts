/**
 * One scope owns a timer, a listener, a task and a socket. Closing it ends all of them, newest first, also when one of the
 * clean-ups throws.
 *
 *     node tools/with-node.js examples/cleanup-scope.ts
 */
import { createSocket } from 'node:dgram'
import { EventEmitter } from 'node:events'
import { Counters, createLogger, Scope } from 'weir-mesh/runtime'

const log = createLogger({ format: 'text', write: console.log })
const counters = new Counters()
const news = new EventEmitter()

const scope = new Scope('example', { log, counters })

// A resource: closed when the scope closes. What is deferred first is closed last.
const socket = createSocket('udp4')
scope.defer('socket', () => new Promise<void>((closed) => socket.close(closed)))
await new Promise<void>((bound) => socket.bind(0, '127.0.0.1', bound))

// A clean-up that throws: named in the log and counted, and the rest goes on.
scope.defer('broken', () => {
  throw new Error('this clean-up is broken')
})

// A timer that repeats, and a listener. Neither keeps running after the close.
scope.every('sweep', 20, () => log.info('swept'))
scope.listen(news, 'change', (what: string) => log.info('heard', { what }))

// A task. It gets a signal that is aborted first of all, and the close waits for it.
const task = scope.spawn('poll', async (signal) => {
  while (!signal.aborted) await scope.sleep(10)
})
task.result.catch(() => log.info('the task was told to end'))

news.emit('change', 'something')
await scope.sleep(50)
log.info('before', { owned: [...scope.names()].join(', ') })

await scope.close()

log.info('after', {
  owned: scope.size,
  listeners: news.listenerCount('change'),
  failed: counters.value('cleanup_failures_total'),
})
