/**
 * The vectors of the Rust crates for everything in codec and core. The groups of the wire above are run by the tests
 * of their folder; what nobody runs yet is printed.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accepted, bytes, text, type Vector, vectorGroups, vectorsOf } from '../../vectors/load.ts'
import {
  CborReader,
  type CborValue,
  CborWriter,
  encodeCbor,
  fromHex,
  PostcardReader,
  PostcardWriter,
  toHex,
} from '../codec/index.ts'
import { isWeirError } from '../runtime/index.ts'
import {
  Blake3,
  blake3,
  buildHeader,
  checkOperation,
  decodeHeader,
  decodeNodeExtensions,
  decodeVerifiedHeader,
  encodeNodeExtensions,
  type Header,
  hashFromHex,
  isCurvePoint,
  KeyPair,
  logIdFromHex,
  membershipTopic,
  nodeIdFromHex,
  protocolAlpn,
  topicIdFromHex,
  topicLogId,
  toZ32,
  verifyHeader,
  verifySignature,
} from './index.ts'

/** Where we differ from Rust on purpose; every one has its reason, and none may be unused. */
const exceptions: Readonly<Record<string, string>> = {
  'cbor-decode/tagged-int': 'a tag at top level is refused: one value would have two encodings',
  'header-decode/tagged': 'a tag before the array is refused: one operation would have two ids',
}

/** Groups that belong to later folders, and where they are run once they exist. */
const elsewhere: Readonly<Record<string, string>> = {
  'log-sync': 'sync',
  'log-sync-decode': 'sync',
  transcript: 'sync (sync-*), discovery, gossip',
  'transport-info': 'not yet',
  discovery: 'not yet',
  gossip: 'not yet',
  'gossip-decode': 'not yet',
  ephemeral: 'not yet',
  encryption: 'not yet',
  spaces: 'not yet',
}

const limits = { bytesMax: 1 << 20, depthMax: 64, itemsMax: 1 << 16, lengthMax: 1 << 16 }
const verifier = { verify: verifySignature }
const groupsRun: string[] = []
const exceptionsUsed: string[] = []

/** Runs one test per vector; a named exception must fail in exactly the way it says. */
function group(name: string, run: (vector: Vector) => void): void {
  groupsRun.push(name)
  for (const vector of vectorsOf(name)) {
    const id = `${name}/${vector.name}`
    const reason = exceptions[id]
    test(reason === undefined ? id : `${id} (exception: ${reason})`, () => {
      if (reason === undefined) return run(vector)
      exceptionsUsed.push(id)
      assert.throws(() => run(vector), `${id} is like Rust by now: take it off the list`)
    })
  }
}

function seedOf(vector: Vector): KeyPair {
  return KeyPair.fromSeed(bytes(vector.input.seed))
}

/** Whether `read` succeeds; anything but a coded error of a decoder fails the test. */
function reads(read: () => unknown): boolean {
  try {
    read()
    return true
  } catch (error) {
    if (!isWeirError(error)) throw error
    assert.match(error.code, /^(DECODE_|HEADER_|EXTENSIONS_|SIGNATURE_)/)
    return false
  }
}

group('blake3', ({ input, output }) => {
  const data = bytes(input.bytes)
  assert.equal(toHex(blake3(data)), output.hash)
  const pieces = new Blake3()
  for (let at = 0; at < data.length; at += 37) pieces.update(data.subarray(at, at + 37))
  assert.equal(toHex(pieces.digest()), output.hash)
})

group('ed25519', ({ input, output }) => {
  const message = bytes(input.message)
  if (input.seed !== undefined) {
    const pair = KeyPair.fromSeed(bytes(input.seed))
    assert.equal(toHex(pair.id), output.public)
    assert.equal(toHex(pair.sign(message)), output.signature)
    assert.equal(verifySignature(pair.id, message, bytes(output.signature)), true)
    return
  }
  const key = bytes(input.public)
  assert.equal(isCurvePoint(key), output.key_decodes ?? true)
  assert.equal(verifySignature(key, message, bytes(input.signature)), output.verifies ?? false)
})

/** A reader and a writer of both encodings for each scalar, by field of the input. */
group('scalars', ({ name, input, output }) => {
  const cbor = new CborWriter()
  const postcard = new PostcardWriter()
  writeScalar(name, input, cbor, postcard)
  assert.equal(toHex(cbor.finish()), output.cbor)
  const compact = toHex(postcard.finish())
  if (output.postcard === undefined) return
  assert.equal(compact, output.postcard)
  const read = new PostcardReader(fromHex(compact))
  readScalar(input, read)
  read.finish()
})

type Heights = Readonly<Record<string, Readonly<Record<string, number>>>>

function writeScalar(
  name: string,
  input: Vector['input'],
  cbor: CborWriter,
  postcard: PostcardWriter,
): void {
  if (input.name !== undefined) {
    cbor
      .array(2)
      .text(text(input, 'name'))
      .raw(encodeCbor(heightsValue(input.heights)))
    return
  }
  if (input.set !== undefined) {
    cbor.bool(input.set === true)
    postcard.bool(input.set === true)
    return
  }
  if (input.micros !== undefined) {
    const parts = [input.micros, input.logical].filter((part) => part !== undefined)
    if (parts.length > 1) cbor.array(parts.length)
    for (const part of parts) {
      cbor.int(BigInt(part as string))
      postcard.u64(BigInt(part as string))
    }
    return
  }
  const value = input.hash ?? input.public ?? input.topic ?? input.signature ?? input.bytes
  if (value !== undefined) {
    const raw = bytes(value)
    const shown = name === 'log-id' ? topicLogId(topicIdFromHex(toHex(raw))) : raw
    cbor.byteString(shown)
    postcard.lengthBytes(shown)
    return
  }
  const heights = heightsValue(input.heights)
  cbor.raw(encodeCbor(heights))
  postcard.variant(heights.size)
  for (const [author, logs] of heights) {
    postcard.lengthBytes(author).variant(logs.size)
    for (const [log, height] of logs) postcard.lengthBytes(log).u32(height)
  }
}

function heightsValue(value: unknown): Map<Uint8Array, Map<Uint8Array, number>> {
  const heights = (value ?? {}) as Heights
  return new Map(
    Object.entries(heights).map(([author, logs]) => [
      fromHex(author),
      new Map(Object.entries(logs).map(([log, height]) => [fromHex(log), height])),
    ]),
  )
}

function readScalar(input: Vector['input'], read: PostcardReader): void {
  if (input.set !== undefined) assert.equal(read.bool(), input.set)
  else if (input.micros !== undefined) {
    assert.equal(String(read.u64()), input.micros)
    if (input.logical !== undefined) assert.equal(String(read.u64()), input.logical)
  } else if (input.signature !== undefined) {
    assert.equal(toHex(read.exactBytes(64)), input.signature)
  } else if (input.bytes !== undefined) read.lengthBytes(64)
  else if (input.hash ?? input.public ?? input.topic) read.exactBytes(32)
  else {
    for (let authors = read.count(16, 34); authors > 0; authors--) {
      read.exactBytes(32)
      for (let logs = read.count(16, 34); logs > 0; logs--) {
        read.exactBytes(32)
        read.u32()
      }
    }
  }
}

group('cbor', ({ name, input, output }) => {
  const wanted = text(output, 'cbor')
  const floats = input.float ?? input.float32
  if (floats !== undefined) {
    assert.equal(toHex(new CborWriter().float(Number(floats)).finish()), wanted)
    assert.equal(new CborReader(fromHex(wanted), limits).float(), Number(floats))
    return
  }
  assert.equal(toHex(encodeCbor(cborInput(name, input))), wanted)
})

function cborInput(name: string, input: Vector['input']): CborValue {
  if (name === 'map-int-keys') return new Map(input.map as [number, string][])
  if (name === 'nested') {
    const struct = input['tuple of two structs in declaration order'] as CborValue
    return [struct, struct]
  }
  if (input.int !== undefined) return BigInt(input.int as string)
  if (input.bytes !== undefined) return bytes(input.bytes)
  const [value] = Object.values(input)
  return value as CborValue
}

/** How each Rust type of `cbor-decode` reads; bytes after the value are ignored, as there. */
const rustTypes: Readonly<Record<string, (reader: CborReader) => unknown>> = {
  map_text_int: readTextMap,
  bytes: (reader) => reader.byteString(),
  vec_u8: (reader) => Array.from({ length: reader.array() }, () => reader.uint(255)),
  text: (reader) => reader.text(),
  u64: (reader) => reader.uint64(),
  f64: (reader) => reader.float(),
  option_u8: (reader) => (reader.nullOr() ? null : reader.uint(255)),
}

function readTextMap(reader: CborReader): Map<string, number | bigint> {
  const entries = new Map<string, number | bigint>()
  let previousStart = 0
  let previousEnd = 0
  for (let left = reader.map(); left > 0; left--) {
    const start = reader.offset
    const key = reader.text()
    reader.key(start, previousStart, previousEnd)
    previousStart = start
    previousEnd = reader.offset
    entries.set(key, reader.int())
  }
  return entries
}

group('cbor-decode', ({ input, output }) => {
  const data = bytes(input.cbor)
  for (const [type, read] of Object.entries(rustTypes)) {
    const taken = reads(() => read(new CborReader(data, limits)))
    assert.equal(taken, accepted(output[type]), `as ${type}: ${String(output[type])}`)
  }
})

/** Id, signature, signed bytes and the bytes themselves, both ways. */
function checkHeader(header: Header, output: Vector['output'], author: Uint8Array): void {
  const decoded = decodeVerifiedHeader(bytes(output.header), verifier)
  for (const found of [header, decoded]) {
    assert.equal(toHex(found.bytes), output.header)
    assert.equal(found.bytes.length, output.header_size)
    assert.equal(toHex(found.id), output.operation_id)
    assert.equal(toHex(found.signature), output.signature)
    assert.equal(toHex(found.signedBytes), output.signing_bytes)
    assert.equal(toHex(found.author), toHex(author))
    const hash = output.payload_hash
    assert.equal(found.payloadHash && toHex(found.payloadHash), hash ?? undefined)
  }
}

group('header', ({ input, output }) => {
  const key = KeyPair.fromSeed(bytes(input.seed))
  const header = buildHeader(key, headerFields(input))
  checkHeader(header, output, key.id)
  assert.equal(header.seq, input.seq_num)
  assert.equal(header.extensions, undefined)
})

function headerFields(input: Vector['input']) {
  return {
    seq: input.seq_num as number,
    backlink: input.backlink ? hashFromHex(input.backlink as string) : undefined,
    body: input.body ? bytes(input.body) : undefined,
  }
}

group('node-header', (vector) => {
  const { input, output } = vector
  const key = seedOf(vector)
  const logId = topicLogId(topicIdFromHex(text(input, 'topic')))
  const timestampMicros = Number(input.timestamp)
  const previous = (input.previous ?? []) as string[]
  const causal = input.previous !== undefined
  const extensions = causal
    ? encodeCbor([1, 1, logId, timestampMicros, previous.map((hash) => fromHex(hash))])
    : encodeNodeExtensions({ logId, timestampMicros, prune: input.prune === true })
  if (!causal) assert.equal(toHex(extensions), output.extensions)
  const header = buildHeader(key, { ...headerFields(input), extensions })
  checkHeader(header, output, key.id)
  assert.deepEqual(decodeNodeExtensions(header.extensions), {
    variant: causal ? 'causal' : 'basic',
    logId: logIdFromHex(toHex(logId)),
    timestampMicros,
    prune: input.prune === true,
    previous: previous.map((hash) => hashFromHex(hash)),
  })
})

group('custom-extensions', (vector) => {
  const key = seedOf(vector)
  const extensions = customExtensions(vector)
  checkHeader(buildHeader(key, { seq: 0, extensions }), vector.output, key.id)
})

/** What serde would write for the input, by the name of the vector where the input does not tell. */
function customExtensions({ name, input }: Vector): Uint8Array {
  const value = input.extensions
  if (name === 'enum-unit') return encodeCbor(value as string)
  const [only] = Object.values(value as object)
  switch (name) {
    case 'float':
    case 'float2':
      return new CborWriter().float(only).finish()
    case 'bytes':
      return encodeCbor(bytes(only))
    case 'struct':
      return encodeCbor({ ...only, zeta: Number(only.zeta) })
    case 'enum-newtype':
    case 'enum-tuple':
      return encodeCbor(value as CborValue)
    case 'enum-struct':
      return encodeCbor({ St: only })
    default:
      return encodeCbor(only)
  }
}

group('header-decode', ({ input, output }) => {
  const data = bytes(input.header)
  const header = () => decodeVerifiedHeader(data, verifier)
  assert.equal(reads(header), accepted(output.any), String(output.any))
  const asNode = () => decodeNodeExtensions(header().extensions)
  assert.equal(reads(asNode), accepted(output.node), String(output.node))
  const asMap = () => {
    const { extensions } = header()
    readTextMap(new CborReader(extensions ?? new Uint8Array(), limits))
  }
  assert.equal(reads(asMap), accepted(output.map_text_to_int))
  if (!accepted(output.any)) return
  const decoded = header()
  assert.equal(decoded.extensions === undefined, accepted(output.no_extensions))
  assert.equal(toHex(decoded.id), output.operation_id)
  assert.equal(output.reencodes_equal, true, 'only equal bytes are accepted here')
  assert.deepEqual(decoded.bytes, data)
})

group('operation-validate', ({ input, output }) => {
  const header = decodeHeader(bytes(input.header))
  const body = input.body === null ? undefined : bytes(input.body)
  assert.equal(verifyHeader(header, verifier), true)
  const verdict = checkOperation({ header, body }, verifier)
  assert.equal(verdict, accepted(output.result) ? 'ok' : 'PAYLOAD_MISMATCH')
})

group('derive', ({ input, output }) => {
  if (input.protocol !== undefined) {
    const alpn = protocolAlpn(text(input, 'protocol'), bytes(input.network_id))
    assert.equal(toHex(alpn), output.alpn)
  } else if (input.topic !== undefined) {
    const topic = topicIdFromHex(text(input, 'topic'))
    assert.equal(toHex(topicLogId(topic)), output.log_id)
    assert.equal(toHex(membershipTopic(topic)), output.membership_topic)
  } else {
    const id = nodeIdFromHex(text(input, 'public'))
    assert.equal(toHex(id), output.display)
    assert.equal(toZ32(id), output.z32)
  }
})

test('every exception was met, and every other group is known', (context) => {
  assert.deepEqual(exceptionsUsed.sort(), Object.keys(exceptions).sort())
  let here = 0
  for (const [name, vectors] of vectorGroups()) {
    if (groupsRun.includes(name)) here += vectors.length
    else {
      assert.ok(elsewhere[name], `nobody knows the vectors of the group ${name}`)
      context.diagnostic(`${name}: ${vectors.length} vectors, ${elsewhere[name]}`)
    }
  }
  context.diagnostic(`${here} vectors run here`)
})
