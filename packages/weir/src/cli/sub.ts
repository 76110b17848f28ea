/**
 * `weir sub`: prints the operations of others on a topic, one a line.
 *
 * Each operation is printed once, also over restarts: how far it came is kept in the store after each line. If the
 * process is killed between writing a line and noting it, that one line comes again; none is ever left out.
 */
import type { Command } from 'commander'
import { CborReader, toHex } from '../codec/index.ts'
import type { Node } from '../node/index.ts'
import { type Clock, isWeirError, onAbort, type Timer, WeirError } from '../runtime/index.ts'
import type { StoredOperation } from '../store/index.ts'
import { type NodeConfig, nodeCommand, topicOf } from './node-command.ts'
import type { UntilEnd } from './until-end.ts'

/** Under which the store keeps how far `sub` has come. */
const CURSOR = 'weir-sub'
/** How long the reader may take for the line that is being written when the program ends. */
const LAST_LINE_MS = 1_000

export function subCommand(done: (code: number) => void): Command {
  const description = 'Print the operations of a topic, one a line, each once.'
  return nodeCommand('sub', description, printOperations, done)
}

async function printOperations(node: Node, config: NodeConfig, end: UntilEnd): Promise<void> {
  const { signal } = end
  // The write that fails says it as well; without a listener the event would be an uncaught exception.
  process.stdout.on('error', () => {})
  if (config.exitWithStdin) end.withStandardInput()
  const stream = await node.stream(topicOf(config), { cursor: CURSOR, signal })
  for await (const event of stream) {
    if (event.type === 'gap') {
      console.error(`weir: OPERATIONS_LOST: ${event.lost} operations were too long to be printed`)
      continue
    }
    const { operation } = event
    // One without a body prunes its log; there is nothing to print.
    if (operation.body && !(await writeLine(textOf(operation), node.scope.clock, signal))) return
    try {
      await stream.ack(operation)
    } catch (error) {
      if (!(signal.aborted && isWeirError(error, 'CLOSED'))) throw error
    }
  }
}

/** The text of a CBOR text string, as a line of its own; anything else as hex digits. */
export function textOf({ body }: Pick<StoredOperation, 'body'>): string {
  if (!body) return ''
  try {
    const reader = new CborReader(body, {
      bytesMax: body.length,
      depthMax: 1,
      itemsMax: 1,
      lengthMax: body.length,
    })
    const text = reader.text()
    reader.finish()
    // A line of a peer must not look like two, and must not steer a terminal.
    return text.replaceAll(CONTROL, (character) => escaped(character))
  } catch (error) {
    if (!isWeirError(error)) throw error
    return toHex(body)
  }
}

/** All control characters but the tabulator. */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}]/gu

const escaped = (character: string): string =>
  character === '\t' ? character : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`

/**
 * Waits until standard output has taken the line, so that a slow reader holds us up and nothing is noted too early.
 *
 * @returns false when the program ends and the reader does not take the line: then it comes again after the next start.
 */
function writeLine(text: string, clock: Clock, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let timer: Timer | undefined
    const listener = onAbort(signal, () => {
      timer = clock.start(LAST_LINE_MS, () => resolve(false))
    })
    process.stdout.write(`${text}\n`, (error) => {
      listener[Symbol.dispose]()
      timer?.cancel()
      if (!error) return resolve(true)
      reject(
        new WeirError('OUTPUT_CLOSED', 'nobody reads the output any more; start again', {
          cause: error,
        }),
      )
    })
  })
}
