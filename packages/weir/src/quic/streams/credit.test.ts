import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../../testing/index.ts'
import { term } from '../../bounds/index.ts'
import { seededRandom } from '../../runtime/index.ts'
import { ReceiveCredit } from './credit.ts'

const receive = (payloadBytesMax: number) =>
  term({ name: 'test.receive', why: 'test', payloadBytesMax })

test('credit is charged before it is advertised and given back as it is used', async () => {
  const credits = receive(100_000)
  await withLedger([credits], (ledger) => {
    using account = ledger.require(credits)
    const credit = new ReceiveCredit(account, 10_000)
    assert.equal(account.bytes, 10_000)
    assert.ok(credit.arrive(10_000))
    assert.equal(credit.arrive(1), false, 'one byte more')
    credit.arrive(-1)
    assert.equal(credit.due, false)
    credit.consume(6_000)
    assert.ok(credit.due)
    assert.equal(credit.advertise(), 16_000)
    assert.equal(account.bytes, 10_000)
    credit.close()
    assert.equal(account.bytes, 0)
  })
})

test('a window that shrinks stays charged until what was advertised is used', async () => {
  const credits = receive(100_000)
  await withLedger([credits], (ledger) => {
    using account = ledger.require(credits)
    const credit = new ReceiveCredit(account, 10_000)
    assert.ok(credit.grow(20_000))
    credit.advertise()
    credit.shrink(20_000)
    assert.equal(account.bytes, 30_000)
    credit.arrive(25_000)
    credit.consume(25_000)
    assert.equal(account.bytes, 10_000)
    credit.close()
  })
})

test('N+1: a window larger than the account is not granted, and nothing is charged for it', async () => {
  const credits = receive(10_000)
  await withLedger([credits], (ledger) => {
    using account = ledger.require(credits)
    const credit = new ReceiveCredit(account, 10_000)
    assert.equal(credit.grow(1), false)
    assert.equal(account.bytes, 10_000)
    assert.equal(credit.window, 10_000)
    credit.close()
  })
})

test('whatever happens, what is advertised and not used is charged', async () => {
  const credits = receive(200_000)
  await withLedger([credits], (ledger) => {
    using account = ledger.require(credits)
    for (let seed = 0; seed < 50; seed++) {
      const random = seededRandom(seed)
      const credit = new ReceiveCredit(account, 8_000)
      const grown: number[] = []
      let [arrived, consumed] = [0, 0]
      for (let step = 0; step < 400; step++) {
        const turn = random.below(5)
        if (turn === 0) {
          const more = 1 + random.below(20_000)
          if (credit.grow(more)) grown.push(more)
        } else if (turn === 1 && grown.length > 0) credit.shrink(grown.pop()!)
        else if (turn === 2) credit.advertise()
        else if (turn === 3) {
          const more = random.below(credit.advertised - arrived + 1)
          assert.ok(credit.arrive(more))
          arrived += more
        } else {
          const read = random.below(arrived - consumed + 1)
          credit.consume(read)
          consumed += read
        }
        assert.ok(account.bytes >= credit.advertised - consumed, `seed ${seed}`)
        assert.ok(account.bytes >= credit.window, `seed ${seed}`)
      }
      credit.close()
      assert.equal(account.bytes, 0)
    }
  })
})
