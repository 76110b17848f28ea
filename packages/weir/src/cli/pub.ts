/**
 * `weir pub`: publishes each line of standard input as an operation, a CBOR text string, and stays up after the end of
 * input, so that others can fetch them.
 *
 * A line is kept in the store before the next one is read: when the store is slow or full, the writer of the pipe waits.
 */
import { fstatSync } from 'node:fs'
import type { Command } from 'commander'
import { encodeCbor } from '../codec/index.ts'
import type { Node } from '../node/index.ts'
import { describeError, isWeirError, onAbort, WeirError } from '../runtime/index.ts'
import type { TopicStream } from '../topics/index.ts'
import { readLines } from './lines.ts'
import { LINE_TERMS } from './memory.ts'
import { lineBytesMax, type NodeConfig, nodeCommand, topicOf } from './node-command.ts'
import type { UntilEnd } from './until-end.ts'

const RETRY_MS = 200

export function pubCommand(done: (code: number) => void): Command {
  const description = 'Publish each line of standard input, signed, and stay up after its end.'
  return nodeCommand('pub', description, publishLines, done)
}

async function publishLines(node: Node, config: NodeConfig, end: UntilEnd): Promise<void> {
  await using stream = await node.stream(topicOf(config), { consume: false })
  const account = node.ledger.require(LINE_TERMS.line)
  const { signal } = end
  try {
    for await (const line of readLines(standardInput(), account, lineBytesMax(node))) {
      if (line.type === 'line') await publish(node, stream, line.text, signal)
      else console.error(`weir: LINE_REFUSED: line ${line.number} was not published: ${line.why}`)
      if (signal.aborted) return
    }
  } catch (error) {
    // Standard input is closed when the program ends.
    if (!signal.aborted) throw error
  }
  if (signal.aborted || config.exitWithStdin) return
  node.scope.log.info('the input has ended; what was published can still be fetched')
  await new Promise<void>((resolve) => void onAbort(signal, resolve))
}

/** @throws {WeirError} `INPUT_UNREADABLE` */
async function* standardInput(): AsyncGenerator<Uint8Array, void> {
  const { stdin } = process
  try {
    // Node takes a folder for an input that has ended.
    if (!stdin.isTTY && fstatSync(stdin.fd).isDirectory()) {
      throw new WeirError(
        'INPUT_UNREADABLE',
        'standard input is a folder; give the lines through a pipe or from a file',
      )
    }
    yield* stdin
  } catch (error) {
    if (isWeirError(error)) throw error
    throw new WeirError(
      'INPUT_UNREADABLE',
      'standard input cannot be read; give the lines through a pipe or from a file',
      { cause: error },
    )
  }
}

/** Publishes, and tries again for as long as it takes when that may help. */
async function publish(
  node: Node,
  stream: TopicStream,
  line: string,
  signal: AbortSignal,
): Promise<void> {
  const body = encodeCbor(line)
  for (let attempt = 1; !signal.aborted; attempt++) {
    try {
      await stream.publish(body)
      return
    } catch (error) {
      if (!isWeirError(error) || !error.retryable) throw error
      if (attempt === 1) {
        node.scope.log.warn('an operation waits to be published', { error: describeError(error) })
      }
      await node.scope.sleep(RETRY_MS)
    }
  }
}
