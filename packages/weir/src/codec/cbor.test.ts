import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode as cborgEncode, rfc8949EncodeOptions } from 'cborg'
import fc from 'fast-check'
import { isWeirError, type Random, seededRandom } from '../runtime/index.ts'
import {
  CborFloat,
  type CborLimits,
  CborReader,
  type CborValue,
  CborWriter,
  decodeCbor,
  encodeCbor,
  fromHex,
  toHex,
} from './index.ts'

const limits: CborLimits = {
  bytesMax: 1 << 20,
  depthMax: 64,
  itemsMax: 100_000,
  lengthMax: 100_000,
}

function code(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (isWeirError(error)) return error.code
    throw error
  }
  return 'none'
}

/** A tree that both codecs agree on: cborg writes -0 as the integer 0, so it is left out. */
function randomTree(random: Random, depth: number): CborValue {
  const kind = random.below(depth > 0 ? 11 : 8)
  switch (kind) {
    case 0:
      return [null, true, false][random.below(3)] as CborValue
    case 1:
      return random.below(100) - 50
    case 2:
      return Number(randomInteger(random, 53)) * (random.below(2) === 0 ? 1 : -1) || 0
    case 3: {
      const size = randomInteger(random, 64)
      return random.below(2) === 0 ? size : -1n - size
    }
    case 4:
      return randomFloat(random)
    case 5:
      return random.bytes(random.below(40))
    case 6:
    case 7:
      return randomText(random)
    case 8:
      return Array.from({ length: random.below(6) }, () => randomTree(random, depth - 1))
    case 9:
      return Object.fromEntries(
        Array.from({ length: random.below(6) }, () => [
          randomText(random),
          randomTree(random, depth - 1),
        ]),
      )
    default:
      return randomMap(random, depth)
  }
}

function randomMap(random: Random, depth: number): CborValue {
  const entries = new Map<string, [CborValue, CborValue]>()
  for (let left = random.below(6); left > 0; left--) {
    const key = random.below(2) === 0 ? random.below(2000) - 1000 : randomText(random)
    entries.set(`${typeof key} ${key}`, [key, randomTree(random, depth - 1)])
  }
  return new Map(entries.values())
}

function randomInteger(random: Random, bits: number): bigint {
  const word = new DataView(random.bytes(8).buffer).getBigUint64(0)
  return word >> BigInt(64 - 1 - random.below(bits))
}

function randomFloat(random: Random): number {
  const view = new DataView(random.bytes(8).buffer)
  const forms = [
    view.getFloat64(0),
    view.getFloat32(0),
    (random.below(4096) - 2048) / 64,
    2 ** -(random.below(30) + 1),
    Infinity,
    -Infinity,
    NaN,
    5e-324,
    2 ** 60,
  ]
  const value = forms[random.below(forms.length)]!
  return Object.is(value, -0) ? 0.5 : value
}

function randomText(random: Random): string {
  const alphabet = ['a', 'b', 'z', ' ', '\u0000', 'é', 'ß', '水', '\uffff', '\ufeff', '𐅑', '😀']
  let text = ''
  for (let left = random.below(random.below(8) === 0 ? 40 : 6); left > 0; left--) {
    text += alphabet[random.below(alphabet.length)]
  }
  return text
}

/** What a decoder gives back for a tree: bigints that fit are numbers, objects are maps. */
function normal(value: CborValue): unknown {
  if (typeof value === 'bigint') {
    return Number.isSafeInteger(Number(value)) ? Number(value) : value
  }
  if (value instanceof Uint8Array) return { bytes: toHex(value) }
  if (Array.isArray(value)) return value.map(normal)
  if (value === null || typeof value !== 'object') return value
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  return {
    map: entries
      .map(([key, item]) => [toHex(encodeCbor(key)), normal(item)] as const)
      .sort(([left], [right]) => (left < right ? -1 : 1)),
  }
}

test('10 000 random trees have the bytes that cborg gives them, and come back', () => {
  const random = seededRandom(7)
  for (let count = 0; count < 10_000; count++) {
    const tree = randomTree(random, 4)
    const encoded = encodeCbor(tree)
    assert.equal(toHex(encoded), toHex(cborgEncode(tree, rfc8949EncodeOptions)))
    const decoded = decodeCbor(encoded, limits)
    assert.deepEqual(normal(decoded), normal(tree))
    assert.deepEqual(encodeCbor(decoded), encoded)
  }
})

/** Bytes near a valid value: a few of them changed, cut or repeated; or none valid at all. */
function randomBytes(random: Random): Uint8Array {
  if (random.below(4) === 0) return random.bytes(random.below(24))
  const valid = encodeCbor(randomTree(random, 3))
  const changed = valid.slice(0, random.below(4) === 0 ? random.below(valid.length + 1) : undefined)
  for (let left = random.below(4); left > 0 && changed.length > 0; left--) {
    changed[random.below(changed.length)] = random.below(256)
  }
  return changed
}

test('100 000 random byte strings fail with a code or encode to themselves', () => {
  const random = seededRandom(11)
  const codes = new Map<string, number>()
  for (let count = 0; count < 100_000; count++) {
    const bytes = randomBytes(random)
    const found = code(() => {
      const value = decodeCbor(bytes, { ...limits, integralFloats: 'wrap' })
      assert.deepEqual(encodeCbor(value), bytes)
    })
    assert.match(found, /^(none|DECODE_(TRUNCATED|TRAILING|MALFORMED|NOT_CANONICAL|LIMIT))$/)
    codes.set(found, (codes.get(found) ?? 0) + 1)
  }
  // The generator reaches every outcome often, else this test would prove nothing.
  for (const wanted of ['none', 'DECODE_TRUNCATED', 'DECODE_MALFORMED', 'DECODE_NOT_CANONICAL']) {
    assert.ok((codes.get(wanted) ?? 0) > 1000, `${wanted}: ${codes.get(wanted)}`)
  }
})

test('skipping a value accepts all that decoding accepts, and ends at the same place', () => {
  const random = seededRandom(13)
  for (let count = 0; count < 20_000; count++) {
    const bytes = randomBytes(random)
    const decoded = code(() => decodeCbor(bytes, { ...limits, integralFloats: 'wrap' }))
    const skipped = code(() => {
      const reader = new CborReader(bytes, limits)
      assert.deepEqual(reader.raw(), bytes.slice(0, reader.offset))
      reader.finish()
    })
    if (decoded === 'none') assert.equal(skipped, 'none')
  }
})

test('every 16-bit float is read and written as itself', () => {
  for (let bits = 0; bits < 0x10000; bits++) {
    const encoded = Uint8Array.of(0xf9, bits >>> 8, bits)
    const value = new CborReader(encoded, limits).float()
    if (Number.isNaN(value)) continue
    assert.deepEqual(new CborWriter().float(value).finish(), encoded)
  }
  assert.equal(toHex(new CborWriter().float(NaN).finish()), 'f97e00')
})

test('a float is as short as it can be without losing anything', () => {
  fc.assert(
    fc.property(fc.double(), (value) => {
      const encoded = new CborWriter().float(value).finish()
      assert.ok(Object.is(new CborReader(encoded, limits).float(), value))
      if (Math.fround(value) !== value && !Number.isNaN(value)) assert.equal(encoded.length, 9)
      else assert.ok(encoded.length <= 5)
    }),
  )
})

test('integers that a number cannot hold are bigints, in both directions', () => {
  const values = [0, 23, 24, 2 ** 53 - 1, -(2 ** 53 - 1), 2n ** 53n, -(2n ** 53n), 2n ** 64n - 1n]
  for (const value of [...values, -(2n ** 64n)]) {
    assert.equal(decodeCbor(encodeCbor(value), limits), value)
  }
  assert.equal(
    code(() => encodeCbor(2n ** 64n)),
    'ENCODE_UNSUPPORTED',
  )
  assert.equal(
    code(() => encodeCbor(-(2n ** 64n) - 1n)),
    'ENCODE_UNSUPPORTED',
  )
})

test('a float that holds an integer keeps its form only when it is asked for', () => {
  const one = fromHex('f93c00')
  assert.equal(
    code(() => decodeCbor(one, limits)),
    'DECODE_NOT_CANONICAL',
  )
  const wrapped = decodeCbor(one, { ...limits, integralFloats: 'wrap' })
  assert.ok(wrapped instanceof CborFloat)
  assert.equal(JSON.stringify([wrapped]), '[1]')
  assert.deepEqual(encodeCbor(wrapped), one)
  assert.ok(Object.is(decodeCbor(encodeCbor(-0), limits), -0))
})

test('foreign keys never reach a prototype', () => {
  const bytes = encodeCbor(new Map([['__proto__', new Map([['polluted', true]])]]))
  const object = decodeCbor(bytes, { ...limits, maps: 'object' }) as Record<string, CborValue>
  assert.equal(Object.getPrototypeOf(object), null)
  assert.deepEqual(Object.keys(object), ['__proto__'])
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
  assert.deepEqual(encodeCbor(object), bytes)
  assert.ok(decodeCbor(bytes, limits) instanceof Map)
  assert.equal(
    code(() => decodeCbor(encodeCbor(new Map([[1, 2]])), { ...limits, maps: 'object' })),
    'DECODE_MALFORMED',
  )
})

test('what is decoded shares no memory with the input', () => {
  const input = encodeCbor(new Uint8Array(32).fill(7))
  const value = decodeCbor(input, limits) as Uint8Array
  assert.notEqual(value.buffer, input.buffer)
  input.fill(0)
  assert.deepEqual(value, new Uint8Array(32).fill(7))
  const buffer = Buffer.from(encodeCbor(new Uint8Array(32).fill(9)))
  const fromBuffer = decodeCbor(buffer, limits) as Uint8Array
  assert.equal(fromBuffer.buffer.byteLength, 32)
  assert.equal(Object.getPrototypeOf(fromBuffer), Uint8Array.prototype)
})

test('each limit refuses what is one above it', () => {
  const deep = (levels: number) => fromHex(`${'81'.repeat(levels)}00`)
  const at = (bytes: Uint8Array, changed: Partial<CborLimits>) =>
    code(() => decodeCbor(bytes, { ...limits, ...changed }))
  assert.equal(at(deep(3), { depthMax: 3 }), 'none')
  assert.equal(at(deep(4), { depthMax: 3 }), 'DECODE_LIMIT')
  assert.equal(at(fromHex('820000'), { itemsMax: 3 }), 'none')
  assert.equal(at(fromHex('83000000'), { itemsMax: 3 }), 'DECODE_LIMIT')
  assert.equal(at(fromHex('8182810000'), { itemsMax: 4 }), 'DECODE_LIMIT')
  for (const fits of ['820000', '420000', '626161', 'a200000100']) {
    assert.equal(at(fromHex(fits), { lengthMax: 2 }), 'none')
  }
  for (const long of ['83000000', '43000000', '63616161', 'a3000001000200']) {
    assert.equal(at(fromHex(long), { lengthMax: 2 }), 'DECODE_LIMIT')
  }
  assert.equal(at(fromHex('420000'), { bytesMax: 3 }), 'none')
  assert.equal(at(fromHex('43000000'), { bytesMax: 3 }), 'DECODE_LIMIT')
})

test('a limit error says which limit, how full and how much was wanted', () => {
  try {
    decodeCbor(fromHex('9a00100000'), limits)
    assert.fail('nothing was refused')
  } catch (error) {
    assert.ok(isWeirError(error, 'DECODE_LIMIT'))
    assert.equal(error.limit?.limit, limits.lengthMax)
    assert.equal(error.limit?.wanted, 0x100000)
  }
})

test('what has no encoding is refused, never left out', () => {
  const circle: CborValue[] = []
  circle.push(circle)
  const refused: unknown[] = [
    undefined,
    { a: undefined },
    Symbol('x'),
    () => 1,
    new Date(0),
    '\ud800',
    new Map<CborValue, CborValue>([
      [1, 1],
      [1n, 2],
    ]),
  ]
  for (const value of refused) {
    assert.equal(
      code(() => encodeCbor(value as CborValue)),
      'ENCODE_UNSUPPORTED',
    )
  }
  assert.equal(
    code(() => encodeCbor(circle)),
    'ENCODE_LIMIT',
  )
  assert.equal(
    code(() => encodeCbor('four', { bytesMax: 4 })),
    'ENCODE_LIMIT',
  )
  assert.equal(
    code(() => encodeCbor('four', { bytesMax: 5 })),
    'none',
  )
})

test('the reader tells types apart and never reads one as another', () => {
  const reads: Readonly<Record<string, (reader: CborReader) => unknown>> = {
    '05': (reader) => reader.uint(),
    '24': (reader) => reader.int(),
    '4105': (reader) => reader.byteString(1),
    '6161': (reader) => reader.text(),
    '8105': (reader) => reader.array(),
    a10505: (reader) => reader.map(),
    f5: (reader) => reader.bool(),
    f93e00: (reader) => reader.float(),
  }
  for (const hex of Object.keys(reads)) {
    for (const [own, read] of Object.entries(reads)) {
      const fits = own === hex || (hex === '05' && own === '24')
      const expected = fits ? 'none' : 'DECODE_MALFORMED'
      assert.equal(
        code(() => read(new CborReader(fromHex(hex), limits))),
        expected,
        `${hex} read as ${own}`,
      )
    }
  }
  assert.equal(
    code(() => new CborReader(fromHex('1901f4'), limits).uint(499)),
    'DECODE_MALFORMED',
  )
})

test('a reader of a part never looks behind its end', () => {
  const samples = ['05', '1818', '4105', '6161', '8105', 'a10505', 'f5', 'f93e00', 'c100', 'f8ff']
  for (const hex of samples) {
    const whole = fromHex(`00${hex}${'05'.repeat(8)}`)
    const end = 1 + hex.length / 2
    const skip = (until: number) => code(() => new CborReader(whole, limits, 1, until).skip())
    assert.equal(skip(end), 'none')
    for (let cut = 1; cut < end; cut++) assert.equal(skip(cut), 'DECODE_TRUNCATED', hex)
  }
  const reader = new CborReader(fromHex('0505'), limits, 0, 1)
  assert.equal(reader.uint(), 5)
  for (const read of ['peek', 'peekByte', 'uint', 'int', 'text', 'bool', 'float'] as const) {
    assert.equal(
      code(() => reader[read]()),
      'DECODE_TRUNCATED',
    )
  }
  assert.equal(reader.nullOr(), false)
  assert.throws(() => reader.byteAt(1), { name: 'AssertionError' })
  assert.equal(reader.byteAt(0), 5)
})

test('a skipped value may hold what upstream takes in extensions, in its only form', () => {
  const skip = (hex: string, depthMax = 64) =>
    code(() => {
      const reader = new CborReader(fromHex(hex), { ...limits, depthMax })
      reader.skip()
      reader.finish()
    })
  const taken = ['f7', 'e0', 'f820', 'f8ff', 'f97e01', 'c074'.padEnd(44, '6')]
  taken.push('c249010000000000000000', 'c349010000000000000000', `c25818${'01'.repeat(24)}`)
  for (const hex of taken) assert.equal(skip(hex), 'none', hex)
  const refused = ['f81f', 'c24101', 'c248ffffffffffffffff', 'c249000000000000000001', 'd80200']
  refused.push(`c2581800${'01'.repeat(23)}`, 'd900024101', 'a2f600f600', '9fff')
  for (const hex of refused) assert.equal(skip(hex), 'DECODE_NOT_CANONICAL', hex)
  for (const hex of ['c205', 'c26161', 'fc', '6180']) assert.equal(skip(hex), 'DECODE_MALFORMED')
  for (const level of ['81', 'a105', 'c1']) {
    assert.equal(skip(`${level.repeat(3)}05`, 3), 'none')
    assert.equal(skip(`${level.repeat(4)}05`, 3), 'DECODE_LIMIT')
  }
})
