import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { allErrors, errorsDocument, errorsOf } from './errors.ts'
import { ROOT } from './files.ts'

test('docs/errors.md is current: run "node tools/with-node.js tools/errors.ts" when this fails', () => {
  assert.equal(readFileSync(join(ROOT, 'docs/errors.md'), 'utf8'), errorsDocument(allErrors()))
})

test('a code is found with its message, whether it may be tried again, and its file', () => {
  const text = `
    import { WeirError } from '../runtime/index.ts'
    export function refuse(used: number): never {
      throw new WeirError('STORE_FULL', \`\${used} of 8 are
        used; wait\`, { retryable: true })
    }
    export const closed = () => new WeirError('CLOSED', 'gone')
  `
  assert.deepEqual(errorsOf('a.ts', text), [
    { code: 'STORE_FULL', path: 'a.ts', message: '… of 8 are used; wait', retryable: true },
    { code: 'CLOSED', path: 'a.ts', message: 'gone', retryable: false },
  ])
})

test('codes of own classes, of their super calls and of tables are found', () => {
  const own = `
    export class KubeError extends WeirError {
      constructor(code: string, message: string) { super(code, message) }
    }
    export class GoneError extends WeirError {
      constructor() { super('GONE', 'it is gone') }
    }
    const CODE_OF_STATUS = Object.freeze({ 404: 'KUBE_NOT_FOUND' })
    throw new KubeError('KUBE_BROKEN', 'broken')
  `
  assert.deepEqual(
    errorsOf('kube.ts', own)
      .map(({ code }) => code)
      .sort(),
    ['GONE', 'KUBE_BROKEN', 'KUBE_NOT_FOUND'],
  )
  const table = `
    const ENDS = Object.freeze({
      /** The peer says nothing. */
      PEER_SILENT: 1,
      lower: 2,
    })
    export const end = (code: keyof typeof ENDS) => new WeirError(code, 'ended')
  `
  assert.deepEqual(errorsOf('ends.ts', table), [
    { code: 'PEER_SILENT', path: 'ends.ts', message: 'The peer says nothing.', retryable: false },
  ])
})

test('errors of the language and texts for people are no codes', () => {
  const text = `
    throw new Error('NOT_A_CODE')
    throw new AssertionError(message)
    throw new TypeError(other)
  `
  assert.deepEqual(
    errorsOf('a.ts', text).filter(({ code }) => code !== 'NOT_A_CODE'),
    [],
  )
})

test('a code has one row, with each file once', () => {
  const row = { code: 'CLOSED', message: 'a | b', retryable: false }
  const text = errorsDocument([
    { ...row, path: 'packages/weir/src/a/x.ts' },
    { ...row, path: 'packages/weir/src/a/x.ts', message: 'other', retryable: true },
  ])
  assert.match(text, /\n\| `CLOSED` \| a \\\| b<br>other \| yes \| `weir\/a\/x\.ts` \|\n$/)
})
