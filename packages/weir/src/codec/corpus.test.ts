/** Every row of the hostile table is a file in `corpus/`: it ends in the code that the file names, and holds nothing. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isWeirError } from '../runtime/index.ts'
import { decodeCbor, FrameReader, PostcardReader } from './index.ts'

const corpus = new URL('./corpus/', import.meta.url)
const limits = { bytesMax: 2_000_000, depthMax: 64, itemsMax: 100_000, lengthMax: 100_000 }
/** The heap that one refused input may take, dead objects included. */
const HEAP_BYTES_MAX = 3_000_000

interface Case {
  readonly name: string
  readonly expect: string
  readonly bytes: Uint8Array
}

/** Hex with spaces; `81*100000` repeats the bytes before the star. */
function parse(name: string, source: string): Case {
  const expect = /^# expect (\w+)$/m.exec(source)?.[1]
  assert.ok(expect, `${name} does not say what it expects`)
  const parts: Buffer[] = []
  for (const token of source.replace(/^#.*$/gm, '').split(/\s+/).filter(Boolean)) {
    const [hex, times] = token.split('*') as [string, string?]
    const part = Buffer.from(hex, 'hex')
    assert.equal(part.length * 2, hex.length, `${name}: ${hex.slice(0, 20)} is not hex`)
    const run = Buffer.alloc(part.length * Number(times ?? 1), part)
    parts.push(run)
  }
  return { name, expect, bytes: new Uint8Array(Buffer.concat(parts)) }
}

function cases(folder: string): Case[] {
  const at = new URL(`${folder}/`, corpus)
  return readdirSync(at).map((file) => parse(file, readFileSync(new URL(file, at), 'utf8')))
}

function refuses(
  { name, expect, bytes }: Omit<Case, 'expect'> & { readonly expect: string | RegExp },
  decode: (bytes: Uint8Array) => unknown,
): void {
  const before = process.memoryUsage()
  assert.throws(
    () => decode(bytes),
    (error) => {
      assert.ok(isWeirError(error), `${name}: ${String(error)}`)
      if (typeof expect === 'string') assert.equal(error.code, expect)
      else assert.match(error.code, expect)
      return true
    },
  )
  const after = process.memoryUsage()
  assert.ok(after.heapUsed - before.heapUsed < HEAP_BYTES_MAX, `${name} took heap`)
  assert.ok(after.arrayBuffers - before.arrayBuffers < HEAP_BYTES_MAX, `${name} took buffers`)
}

for (const entry of cases('cbor')) {
  test(`cbor ${entry.name} ends in ${entry.expect}`, () => {
    refuses(entry, (bytes) => decodeCbor(bytes, limits))
    // Objects take text keys only, which may be found out first.
    const asObject = { ...entry, expect: /^DECODE_/ }
    refuses(asObject, (bytes) => decodeCbor(bytes, { ...limits, maps: 'object' }))
  })
}

/** How a file of `corpus/postcard` is read, by the first word of its name. */
const postcardReads: Readonly<Record<string, (reader: PostcardReader) => unknown>> = {
  u16: (reader) => reader.u16(),
  u32: (reader) => reader.u32(),
  u64: (reader) => reader.u64(),
  bool: (reader) => reader.bool(),
  option: (reader) => reader.option((inner) => inner.u8()),
  bytes: (reader) => reader.lengthBytes(4096),
  count: (reader) => reader.count(4096),
  exact: (reader) => reader.exactBytes(32),
  text: (reader) => reader.text(4096),
  variant: (reader) => reader.variant(3),
  trailing: (reader) => reader.u8(),
}

for (const entry of cases('postcard')) {
  test(`postcard ${entry.name} ends in ${entry.expect}`, () => {
    const read = postcardReads[entry.name.split(/[-.]/)[0]!]
    assert.ok(read, `${entry.name} has no reader`)
    refuses(entry, (bytes) => {
      const reader = new PostcardReader(bytes)
      read(reader)
      reader.finish()
    })
  })
}

for (const entry of cases('frame')) {
  test(`frame ${entry.name} ends in ${entry.expect} with nothing held`, () => {
    const reader = new FrameReader({ frameBytesMax: 65_536 })
    refuses(entry, (bytes) => {
      reader.push(bytes)
      reader.next()
    })
    assert.equal(reader.heldBytes, 0)
  })
}
