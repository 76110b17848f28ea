import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import test from 'node:test'
import fc from 'fast-check'
import { createLogger, type LogFields, silentLogger, WeirError } from './index.ts'

function lines(format: 'json' | 'text', run: (log: ReturnType<typeof createLogger>) => void) {
  const written: string[] = []
  run(
    createLogger({ format, level: 'debug', write: (line) => written.push(line), wallMs: () => 0 }),
  )
  return written
}

const one = (fields: LogFields, message = 'event', format: 'json' | 'text' = 'json') =>
  lines(format, (log) => log.info(message, fields))[0]!

test('a json line has time, level, message and its fields, base fields first', () => {
  const [line] = lines('json', (log) =>
    log.with({ zone: 'a', n: 1 }).warn('seen', { n: 2, big: 9n }),
  )
  assert.equal(
    line,
    '{"time":"1970-01-01T00:00:00.000Z","level":"warn","message":"seen","zone":"a","n":2,"big":"9"}',
  )
})

test('a text line is short and in one piece', () => {
  assert.equal(one({ zone: 'a' }, 'seen', 'text'), '00:00:00.000 info  seen zone=a')
})

test('lines below the level are not written, and undefined fields are left out', () => {
  const written: string[] = []
  const log = createLogger({ level: 'warn', write: (line) => written.push(line) })
  log.debug('no')
  log.info('no')
  log.warn('yes', { absent: undefined })
  log.error('yes')
  assert.equal(written.length, 2)
  assert.equal(written[0]!.includes('absent'), false)
})

test('fields cannot replace time, level or message', () => {
  const line = JSON.parse(one({ time: 'x', level: 'x', message: 'x', kept: 1 }))
  assert.deepEqual(line, {
    time: '1970-01-01T00:00:00.000Z',
    level: 'info',
    message: 'event',
    kept: 1,
  })
})

test('errors are written with code and causes', () => {
  const error = new WeirError('LIMIT', 'full', { cause: new Error('inner') })
  assert.equal(JSON.parse(one({ error })).error, 'LIMIT: full <- inner')
})

test('whatever a peer says, a text line stays one line that steers no terminal', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (said, message) => {
      const line = one({ said, error: new Error(said) }, message, 'text')
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there.
      assert.doesNotMatch(line, /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]/)
    }),
  )
  assert.equal(one({ said: 'x\r\n\u001b[2Jfaked' }, 'a\u202eb', 'text').includes('\u001b'), false)
})

test('whatever a peer says, a json line is one line that parses to what was said', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (said) => {
      const line = one({ said })
      assert.doesNotMatch(line, /[\r\n]/)
      assert.equal(JSON.parse(line).said, said)
    }),
  )
})

test('a line does not grow with what it is given', () => {
  const huge = 'x'.repeat(1_000_000)
  for (const value of [
    huge,
    new Error(huge),
    Buffer.alloc(1_000_000),
    [huge, huge],
    { huge },
    Symbol(huge),
  ]) {
    assert.ok(one({ value }).length < 1_000, `${typeof value} gave ${one({ value }).length}`)
  }
  assert.ok(one({}, huge).length < 1_000)
  assert.ok(one({}, huge, 'text').length < 1_000)
})

test('no value makes the logger throw', () => {
  const round: { self?: unknown } = {}
  round.self = round
  const proxied = new Proxy({}, { get: () => assert.fail('must not be read') })
  for (const value of [Object.create(null), round, proxied, () => 1, Number.NaN, -Infinity, null]) {
    assert.equal(typeof JSON.parse(one({ value })), 'object')
  }
  assert.equal(JSON.parse(one({ value: Number.NaN })).value, 'NaN')
  assert.equal(JSON.parse(one({ value: Object.create(null) })).value, '[Object: null prototype] {}')
})

test('the silent logger writes nothing, also through with', () => {
  assert.equal(silentLogger.with({ a: 1 }), silentLogger)
  silentLogger.debug('x')
  silentLogger.info('x')
  silentLogger.warn('x')
  silentLogger.error('x')
})

test('the last line before an exit is there, and a closed standard error harms nothing', () => {
  const program = `import { createLogger } from '${new URL('log.ts', import.meta.url)}'
    import { closeSync } from 'node:fs'
    createLogger().error('last words')
    closeSync(2)
    createLogger().error('to nobody')
    process.exit(7)`
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  })
  assert.equal(child.status, 7)
  assert.match(child.stderr, /last words/)
})
