/** Writes down what it is told of frames. */
import type { FrameSink } from './frame-types.ts'

export class Recorder implements FrameSink {
  readonly said: string[] = []

  ack(largest: number): undefined {
    this.said.push(`ack ${largest}`)
  }

  ackRange(low: number, high: number): void {
    this.said.push(`range ${low} ${high}`)
  }

  ackEnd(): undefined {}

  crypto(offset: number, bytes: Uint8Array): undefined {
    this.said.push(`crypto ${offset} ${bytes}`)
  }

  stream(
    id: number,
    offset: number,
    bytes: Uint8Array,
    from: number,
    length: number,
    fin: boolean,
  ): undefined {
    const part = bytes.subarray(from, from + length)
    this.said.push(`stream ${id} ${offset} ${part}${fin ? ' fin' : ''}`)
  }

  resetStream(id: number, code: number, finalSize: number): undefined {
    this.said.push(`reset ${id} ${code} ${finalSize}`)
  }

  stopSending(id: number, code: number): undefined {
    this.said.push(`stop ${id} ${code}`)
  }

  maxData(limit: number): undefined {
    this.said.push(`maxData ${limit}`)
  }

  maxStreamData(id: number, limit: number): undefined {
    this.said.push(`maxStreamData ${id} ${limit}`)
  }

  maxStreams(bidi: boolean, limit: number): undefined {
    this.said.push(`maxStreams ${bidi ? 'bidi' : 'uni'} ${limit}`)
  }

  blocked(id: number): undefined {
    this.said.push(`blocked ${id}`)
  }

  newConnectionId(sequence: number, retirePrior: number, id: Uint8Array): undefined {
    this.said.push(`newId ${sequence} ${retirePrior} ${id.length}`)
  }

  retireConnectionId(sequence: number): undefined {
    this.said.push(`retire ${sequence}`)
  }

  pathChallenge(): undefined {
    this.said.push('challenge')
  }

  pathResponse(): undefined {
    this.said.push('response')
  }

  newToken(): undefined {
    this.said.push('token')
  }

  handshakeDone(): undefined {
    this.said.push('done')
  }

  datagram(bytes: Uint8Array): undefined {
    this.said.push(`datagram ${bytes.length}`)
  }

  close(application: boolean, code: number, reason: Uint8Array): void {
    const text = new TextDecoder().decode(reason)
    this.said.push(`close ${application ? 'application' : 'transport'} ${code} ${text}`)
  }
}
