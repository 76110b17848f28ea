/**
 * The topic handshake over a connection, within its time. What it opens or accepts as its first stream is given up
 * afterwards: upstream drops it as well.
 */
import { FrameReader } from '../codec/index.ts'
import type { TopicId } from '../core/index.ts'
import { type Clock, describeError, isWeirError, withTimeout } from '../runtime/index.ts'
import type { BiStream, Connection } from '../transport/index.ts'
import { closeOf, type Ending, endError, ending } from './errors.ts'
import {
  HANDSHAKE_FRAME_BYTES_MAX,
  type HandshakeEffects,
  HandshakeMachine,
} from './handshake-machine.ts'

export interface HandshakeOptions {
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly timeoutMs: number
}

/** Says the topic of a connection that we dialled. @throws {WeirError} as `acceptTopic`. */
export async function offerTopic(
  connection: Connection,
  topic: TopicId,
  options: HandshakeOptions,
): Promise<void> {
  await guarded(connection, options, async () => {
    const stream = await connection.openBi({ signal: options.signal })
    await exchange(stream, new HandshakeMachine(topic))
  })
}

/**
 * Hears the topic of a connection that was dialled to us.
 *
 * @throws {WeirError} `HANDSHAKE_TIMEOUT`, `HANDSHAKE_FAILED`, `INCOMPATIBLE_PEER`, or what the transport says; the
 *   connection was closed.
 */
export async function acceptTopic(
  connection: Connection,
  options: HandshakeOptions,
): Promise<TopicId> {
  return guarded(connection, options, async () => {
    const stream = await connection.acceptBi({ signal: options.signal })
    return exchange(stream, new HandshakeMachine())
  })
}

async function guarded<T>(
  connection: Connection,
  options: HandshakeOptions,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await withTimeout(run(), options.timeoutMs, 'the topic handshake', options.clock)
  } catch (error) {
    if (isWeirError(error, 'TIMEOUT')) {
      const late = ending('HANDSHAKE_TIMEOUT', error.message)
      close(connection, late)
      throw endError(late)
    }
    if (error instanceof HandshakeFailure) {
      close(connection, error.end)
      throw endError(error.end)
    }
    connection.close(0, '')
    throw error
  }
}

function close(connection: Connection, end: Ending): void {
  const { code, reason } = closeOf(end, connection.outbound)
  connection.close(code, reason)
}

/** Carries an ending through an async function. */
class HandshakeFailure extends Error {
  readonly end: Ending

  constructor(end: Ending) {
    super(end.message)
    this.end = end
  }
}

async function exchange(stream: BiStream, machine: HandshakeMachine): Promise<TopicId> {
  let writing: Promise<void> = Promise.resolve()
  let topic: TopicId | undefined
  let failure: Ending | undefined
  const fx: HandshakeEffects = {
    send: (frame) => {
      writing = writing.then(() => stream.send.write(frame))
      // Its failure is seen where it is awaited.
      writing.catch(() => {})
    },
    done: (agreed) => {
      topic = agreed
    },
    fail: (end) => {
      failure = end
    },
  }
  using reader = new FrameReader({ frameBytesMax: HANDSHAKE_FRAME_BYTES_MAX })
  machine.start(fx)
  while (!topic && !failure) {
    const chunk = await stream.receive.read(HANDSHAKE_FRAME_BYTES_MAX + 4)
    if (!chunk) {
      failure = ending('HANDSHAKE_FAILED', 'the peer ended the stream of the handshake')
      break
    }
    reader.push(chunk)
    try {
      for (let frame = reader.next(); frame && !failure; frame = reader.next()) {
        machine.frame(frame, fx)
      }
    } catch (error) {
      if (!isWeirError(error)) throw error
      machine.unreadable(describeError(error), fx)
    }
  }
  if (failure) throw new HandshakeFailure(failure)
  await writing
  return topic!
}
