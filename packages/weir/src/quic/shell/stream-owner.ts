/** What the handles of streams need of their connection. */
import type { ConnectionMachine } from '../connection-machine.ts'
import type { Stream } from '../streams/streams.ts'

export interface StreamOwner {
  readonly machine: ConnectionMachine
  /** The connection is over. */
  readonly over: boolean
  readonly windowBytesMax: number
  /** Something is to be sent. */
  touch(): void
  read(stream: Stream, bytesMax: number): Uint8Array | undefined
  stop(stream: Stream, code: number): void
}
