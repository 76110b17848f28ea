import assert from 'node:assert/strict'
import test from 'node:test'
import { withLedger } from '../../../testing/index.ts'
import { term } from '../../bounds/index.ts'
import { ResetTokens } from './reset-tokens.ts'

const planned = term({ name: 'test.resets', why: 'test', table: 'map', entriesMax: 2 })
const token = (of: number) => new Uint8Array(16).fill(of)
const text = (of: number) => Buffer.from(token(of)).toString('latin1')
const datagram = (of: number) => new Uint8Array([...new Uint8Array(26).fill(0x41), ...token(of)])

function withTokens(run: (tokens: ResetTokens<string>) => void): Promise<void> {
  return withLedger([planned], (ledger) => {
    const tokens = new ResetTokens<string>(ledger.require(planned), token(9))
    run(tokens)
    tokens[Symbol.dispose]()
  })
}

test('a datagram is a reset of the connection whose token it ends in, until that is forgotten', () =>
  withTokens((tokens) => {
    assert.equal(tokens.find(datagram(1)), undefined)
    tokens.add(text(1), 'one')
    tokens.add(text(200), 'two')
    assert.equal(tokens.find(datagram(1)), 'one')
    assert.equal(tokens.find(datagram(200)), 'two')
    assert.equal(tokens.find(datagram(3)), undefined)
    tokens.delete(text(1), 'one')
    assert.equal(tokens.find(datagram(1)), undefined)
  }))

test('nobody takes the token of another connection, or forgets it', () =>
  withTokens((tokens) => {
    tokens.add(text(1), 'one')
    tokens.add(text(1), 'two')
    assert.equal(tokens.find(datagram(1)), 'one')
    tokens.delete(text(1), 'two')
    assert.equal(tokens.find(datagram(1)), 'one')
  }))

test('N+1: a token more is not kept', () =>
  withTokens((tokens) => {
    for (let of = 1; of <= 3; of++) tokens.add(text(of), String(of))
    assert.equal(tokens.find(datagram(2)), '2')
    assert.equal(tokens.find(datagram(3)), undefined)
    tokens.delete(text(3), '3')
  }))
