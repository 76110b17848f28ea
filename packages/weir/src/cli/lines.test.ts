import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { withLedger } from '../../testing/index.ts'
import type { Account } from '../bounds/index.ts'
import { type Line, readLines } from './lines.ts'
import { LINE_TERMS } from './memory.ts'

async function* chunksOf(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* parts
}

async function all(parts: readonly Uint8Array[], lineBytesMax = 100): Promise<Line[]> {
  const lines: Line[] = []
  await withLedger([LINE_TERMS.line], async (ledger) => {
    for await (const line of readLines(chunksOf(parts), account(ledger), lineBytesMax)) {
      lines.push(line)
    }
  })
  return lines
}

const account = (ledger: { require(term: typeof LINE_TERMS.line): Account }) =>
  ledger.require(LINE_TERMS.line)
const bytes = (text: string) => new TextEncoder().encode(text)
const texts = (lines: Line[]) =>
  lines.map((line) => (line.type === 'line' ? line.text : `${line.number}: ${line.why}`))

test('lines end with a line feed, with or without a carriage return, and the last one with the input', async () => {
  assert.deepEqual(texts(await all([bytes('a\r\nb\n\nc')])), ['a', 'b', '', 'c'])
  assert.deepEqual(texts(await all([bytes('a\n')])), ['a'])
  assert.deepEqual(texts(await all([])), [])
})

test('however the input is cut, the lines are the same', () =>
  fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { maxLength: 10 }),
      fc.array(fc.nat({ max: 30 }), { maxLength: 20 }),
      async (words, cuts) => {
        const lines = words.map((word) => word.replaceAll(/[\r\n]/g, ' ').toWellFormed())
        const whole = bytes(lines.map((line) => `${line}\n`).join(''))
        const parts: Uint8Array[] = []
        let at = 0
        for (const cut of cuts) {
          parts.push(whole.subarray(at, at + cut))
          at += cut
        }
        parts.push(whole.subarray(at))
        assert.deepEqual(texts(await all(parts)), lines)
      },
    ),
    { numRuns: 200 },
  ))

test('cli.line: a line that is too long is told and left out whole, the next one is read', async () => {
  const long = bytes('x'.repeat(60))
  const lines = await all([bytes('a\n'), long, long, bytes('y\nb\n'), bytes('z'.repeat(100))], 100)
  assert.deepEqual(texts(lines), ['a', '2: it has more than 100 bytes', 'b', 'z'.repeat(100)])
  const last = await all([long, long])
  assert.deepEqual(texts(last), ['1: it has more than 100 bytes'])
})

test('a line that is not UTF-8 is told and left out', async () => {
  const lines = await all([Uint8Array.of(0xff, 0xfe, 10, 0x61, 10)])
  assert.deepEqual(texts(lines), ['1: it is not UTF-8', 'a'])
})

test('leaving the loop early and a failing input give the charge back', async () => {
  await withLedger([LINE_TERMS.line], async (ledger) => {
    for await (const line of readLines(chunksOf([bytes('a\nb\n')]), account(ledger), 100)) {
      assert.equal(line.number, 1)
      break
    }
  })
  await withLedger([LINE_TERMS.line], async (ledger) => {
    const failing = (async function* () {
      yield bytes('a')
      throw new Error('the pipe broke')
    })()
    const read = async () => {
      for await (const _ of readLines(failing, account(ledger), 100)) assert.fail('no line')
    }
    await assert.rejects(read(), /the pipe broke/)
  })
})

test('a line of full length may end with a carriage return, however it is cut', async () => {
  for (const cut of [0, 99, 100, 101, 102]) {
    const whole = bytes(`${'x'.repeat(100)}\r\n${'y'.repeat(101)}\r\n${'z'.repeat(100)}\r`)
    const lines = texts(await all([whole.subarray(0, cut), whole.subarray(cut)]))
    const long = '2: it has more than 100 bytes'
    assert.deepEqual(lines, ['x'.repeat(100), long, 'z'.repeat(100)])
  }
  const long = texts(await all([bytes(`${'x'.repeat(101)}\n${'x'.repeat(100)}\n`)]))
  assert.deepEqual(long, ['1: it has more than 100 bytes', 'x'.repeat(100)])
})
