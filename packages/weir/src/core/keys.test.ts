import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Ledger, planMemory } from '../bounds/index.ts'
import { fromHex, toHex } from '../codec/index.ts'
import { seededRandom } from '../runtime/index.ts'
import {
  admitKey,
  admitSignature,
  type CoreLimits,
  coreTerms,
  isCurvePoint,
  KeyPair,
  Verifier,
  VerifyPool,
  verifySignature,
} from './index.ts'

/** All encodings of the eight points of small order, the non-canonical ones included. */
const smallOrder = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0000000000000000000000000000000000000000000000000000000000000080',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000080',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
].map((hex) => fromHex(hex))

const random = seededRandom(17)

function contract(limits: CoreLimits = {}) {
  const terms = coreTerms(limits)
  const plan = planMemory(Object.values(terms), { limitBytes: 2 ** 28, floorBytes: 0 })
  const ledger = new Ledger(plan, { assertLeaks: true })
  return { ledger, verifier: new Verifier(ledger.require(terms.verifierKeys)), terms }
}

function signed(pair = KeyPair.generate(random), size = 100) {
  const message = random.bytes(size)
  return { key: pair.id, message, signature: pair.sign(message) }
}

test('a seed gives the same key and the same signature every time', () => {
  // RFC 8032 section 7.1, test 2.
  const pair = KeyPair.fromSeed(
    fromHex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb'),
  )
  assert.equal(toHex(pair.id), '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')
  assert.equal(
    toHex(pair.sign(Uint8Array.of(0x72))),
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da' +
      '085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  )
  assert.deepEqual(KeyPair.fromSeed(pair.seed()).id, pair.id)
})

test('a key pair does not show its secret when it is printed', () => {
  const pair = KeyPair.fromSeed(new Uint8Array(32).fill(0xab))
  const shown = inspect(pair, { depth: 9, showHidden: true }) + JSON.stringify({ pair })
  assert.ok(!/ab, ?ab|171, ?171|(ab){4}/.test(shown))
  assert.ok(shown.includes(toHex(pair.id)))
})

test('keys and R of small order verify nothing, in no encoding', () => {
  const { message, signature } = signed()
  const zero = new Uint8Array(32)
  for (const point of smallOrder) {
    assert.equal(admitKey(point), false)
    const forged = new Uint8Array(64)
    for (const r of smallOrder) {
      forged.set(r)
      forged.set(zero, 32)
      assert.equal(admitSignature(forged), false)
      assert.equal(verifySignature(point, message, forged), false)
    }
    const replaced = signature.slice()
    replaced.set(point)
    assert.equal(admitSignature(replaced), false)
  }
})

test('a y that is not below p is refused, the largest one below it is not', () => {
  for (let low = 0; low < 256; low++) {
    const bytes = new Uint8Array(32).fill(0xff)
    bytes[0] = low
    bytes[31] = 0x7f
    const canonical = low < 0xed
    assert.equal(admitKey(bytes), canonical && low !== 0xec, `y = p - 237 + ${low}`)
  }
})

test('s at and above the order of the group is refused', () => {
  const { key, message, signature } = signed()
  const order = 2n ** 252n + 27742317777372353535851937790883648493n
  const read = (bytes: Uint8Array) => BigInt(`0x${toHex(bytes.slice().reverse())}`)
  const write = (value: bigint) => fromHex(value.toString(16).padStart(64, '0')).slice().reverse()
  const withScalar = (value: bigint) => {
    const changed = signature.slice()
    changed.set(write(value), 32)
    return changed
  }
  const scalar = read(signature.slice(32))
  assert.equal(verifySignature(key, message, signature), true)
  assert.equal(verifySignature(key, message, withScalar(scalar + order)), false)
  assert.equal(admitSignature(withScalar(order - 1n)), true)
  assert.equal(admitSignature(withScalar(order)), false)
})

test('points are told from other bytes as often as they should be', () => {
  let points = 0
  for (let count = 0; count < 400; count++) if (isCurvePoint(random.bytes(32))) points++
  // Half of all y have an x; 400 draws leave this range once in 10^9.
  assert.ok(points > 140 && points < 260, `${points} of 400`)
  for (let count = 0; count < 20; count++) {
    assert.ok(isCurvePoint(KeyPair.generate(random).id))
  }
  assert.equal(isCurvePoint(Uint8Array.of(2, ...new Uint8Array(31))), false)
})

test('wrong lengths are no key and no signature', () => {
  const { key, message, signature } = signed()
  assert.equal(verifySignature(key.subarray(1), message, signature), false)
  assert.equal(verifySignature(key, message, signature.subarray(1)), false)
})

test('core.verifier-keys: one author more than the cap evicts the least recently used', () => {
  const { ledger, verifier, terms } = contract({ verifierKeysMax: 4 })
  const pairs = Array.from({ length: 5 }, () => KeyPair.generate(random))
  for (const pair of pairs) {
    const { key, message, signature } = signed(pair)
    assert.equal(verifier.verify(key, message, signature), true)
    assert.equal(
      verifier.verify(
        key,
        message,
        signature.map((byte) => byte ^ 1),
      ),
      false,
    )
  }
  const row = ledger.row(terms.verifierKeys)
  assert.equal(row.entries, 4)
  assert.equal(row.exits.evicted, 1)
  const again = signed(pairs[0]!)
  assert.equal(verifier.verify(again.key, again.message, again.signature), true)
  assert.equal(verifier.shed(1), 3)
  verifier[Symbol.dispose]()
  ledger.assertEmpty()
})

test('after shedding, a key that was used last is made anew and charged again', () => {
  const { ledger, verifier, terms } = contract()
  const pair = KeyPair.generate(random)
  const { key, message, signature } = signed(pair)
  const object = verifier.admit(key, signature)
  assert.equal(verifier.admit(key.slice(), signature), object)
  assert.equal(verifier.shed(0), 1)
  assert.equal(ledger.row(terms.verifierKeys).entries, 0)
  assert.notEqual(verifier.admit(key, signature), object)
  assert.equal(ledger.row(terms.verifierKeys).entries, 1)
  const other = signed(KeyPair.generate(random))
  assert.equal(verifier.verify(other.key, message, signature), false)
  assert.equal(verifier.verify(key, message, signature), true)
  verifier[Symbol.dispose]()
  ledger.assertEmpty()
})

test('keys that are not admitted are not kept', () => {
  const { ledger, verifier } = contract()
  const { message, signature } = signed()
  for (const key of smallOrder) assert.equal(verifier.verify(key, message, signature), false)
  assert.deepEqual(
    [...ledger.rows()].map(({ entries }) => entries),
    [0, 0],
  )
  verifier[Symbol.dispose]()
  ledger.assertEmpty()
})

test('the pool answers as the verifier does, many at a time', async () => {
  const { ledger, verifier, terms } = contract({ verifyJobsMax: 64 })
  const pool = new VerifyPool(ledger.require(terms.verifyJobs), verifier, { runningMax: 3 })
  const pairs = Array.from({ length: 4 }, () => KeyPair.generate(random))
  const answers = Array.from({ length: 60 }, async (_, at) => {
    const { key, message, signature } = signed(pairs[at % 4]!)
    const good = at % 3 !== 0
    if (at % 6 === 0) message[0]! ^= 1
    else if (!good) signature[40]! ^= 1
    assert.equal(await pool.verify(key, message, signature), good)
  })
  await Promise.all(answers)
  assert.equal(await pool.verify(smallOrder[0]!, new Uint8Array(1), new Uint8Array(64)), false)
  assert.equal(pool.pending, 0)
  await pool.close()
  verifier[Symbol.dispose]()
  ledger.assertEmpty()
})

test('core.verify-jobs: one job more than the cap is refused at once, and fits after an answer', async () => {
  const { ledger, verifier, terms } = contract({ verifyJobsMax: 4 })
  const pool = new VerifyPool(ledger.require(terms.verifyJobs), verifier, { runningMax: 1 })
  const { key, message, signature } = signed()
  const running = Array.from({ length: 4 }, () => pool.verify(key, message, signature))
  assert.equal(
    pool.submit(key, message, signature, () => assert.fail('a refused job was answered')),
    'cap',
  )
  await assert.rejects(pool.verify(key, message, signature), { code: 'LIMIT', retryable: true })
  assert.deepEqual(await Promise.all(running), [true, true, true, true])
  assert.equal(await pool.verify(key, message, signature), true)
  await pool.close()
  verifier[Symbol.dispose]()
  ledger.assertEmpty()
})

test('core.verify-jobs: the bytes of messages are capped too', async () => {
  const { ledger, verifier, terms } = contract({ verifyBytesMax: 1000 })
  const pool = new VerifyPool(ledger.require(terms.verifyJobs), verifier)
  const large = signed(undefined, 501)
  await assert.rejects(pool.verify(large.key, large.message, large.signature), { code: 'LIMIT' })
  const fits = signed(undefined, 500)
  assert.equal(await pool.verify(fits.key, fits.message, fits.signature), true)
  await pool.close()
  verifier[Symbol.dispose]()
  ledger.assertEmpty()
})

test('closing the pool answers what waits, waits for what runs, and takes nothing more', async () => {
  const { ledger, verifier, terms } = contract()
  const pool = new VerifyPool(ledger.require(terms.verifyJobs), verifier, { runningMax: 2 })
  const { key, message, signature } = signed()
  const answers: (boolean | undefined)[] = []
  for (let count = 0; count < 6; count++) {
    assert.equal(
      pool.submit(key, message, signature, (valid) => answers.push(valid)),
      'ok',
    )
  }
  assert.deepEqual(answers, [], 'an answer came during the question')
  const closed = pool.close()
  assert.deepEqual(answers, [undefined, undefined, undefined, undefined])
  await closed
  assert.deepEqual(answers.slice(4), [true, true])
  await pool.close()
  await assert.rejects(pool.verify(key, message, signature), { code: 'CLOSED' })
  verifier[Symbol.dispose]()
  ledger.assertEmpty()
})

test('an own offload is used, and its answer is the answer', async () => {
  const { ledger, verifier, terms } = contract()
  const pool = new VerifyPool(ledger.require(terms.verifyJobs), verifier, {
    offload: (_key, message, _signature, done) => queueMicrotask(() => done(message.length === 3)),
  })
  const { key, signature } = signed()
  assert.equal(await pool.verify(key, new Uint8Array(3), signature), true)
  assert.equal(await pool.verify(key, new Uint8Array(4), signature), false)
  await pool.close()
  verifier[Symbol.dispose]()
  ledger.assertEmpty()
})

test('core.verify-jobs: 64 jobs run at a time, and what they take is charged while the pool is open', async () => {
  const { ledger, verifier, terms } = contract({ verifyJobsMax: 80 })
  const row = () => ledger.row(terms.verifyJobs)
  const before = row().bytes
  const handedOver: (() => void)[] = []
  const pool = new VerifyPool(ledger.require(terms.verifyJobs), verifier, {
    offload: (_key, _message, _signature, done) => handedOver.push(() => done(true)),
  })
  assert.equal(row().bytes - before, 64 * 2_500)
  const { key, message, signature } = signed()
  for (let count = 0; count < 80; count++) pool.submit(key, message, signature, () => {})
  assert.equal(handedOver.length, 64)
  for (let at = 0; at < 16; at++) handedOver[at]!()
  assert.equal(handedOver.length, 80)
  for (const answer of handedOver.slice(16)) answer()
  assert.equal(pool.pending, 0)
  await pool.close()
  verifier[Symbol.dispose]()
  ledger.assertEmpty()
})
