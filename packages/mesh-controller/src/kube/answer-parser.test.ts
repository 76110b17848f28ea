import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type AnswerHead,
  AnswerParser,
  CHUNK_LINE_BYTES_MAX,
  FIELDS_MAX,
  HEAD_BYTES_MAX,
  INTERIM_MAX,
} from './answer-parser.ts'
import { isKubeError } from './errors.ts'

interface Outcome {
  readonly head: AnswerHead | undefined
  readonly body: string
  /** `complete`, `incomplete`, or why it was refused. */
  readonly end: string
  readonly persistent: boolean
  readonly idleMs: number | undefined
}

/** Parses pieces, and then the end of the connection; errors of any other kind go through. */
function parse(pieces: readonly Buffer[]): Outcome {
  const parser = new AnswerParser()
  parser.begin()
  let head: AnswerHead | undefined
  let body = ''
  let end = ''
  const sink = {
    head(came: AnswerHead) {
      assert.equal(head, undefined, 'one head')
      head = came
    },
    body(bytes: Buffer) {
      assert.ok(head && bytes.length > 0)
      body += bytes.toString('latin1')
    },
  }
  let before = false
  try {
    for (const piece of pieces) parser.push(piece, sink)
    before = parser.complete
    end = parser.end() ? 'complete' : 'incomplete'
  } catch (error) {
    assert.ok(isKubeError(error, 'KUBE_HTTP_INVALID'), String(error))
    assert.ok(!parser.complete && !parser.persistent)
    end = error.message
  }
  return { head, body, end, persistent: before && parser.persistent, idleMs: parser.idleMs }
}

const bytes = (text: string) => Buffer.from(text, 'latin1')
const whole = (text: string) => parse([bytes(text)])
const single = (text: string) => parse(Array.from(text, (char) => bytes(char)))

/** Cuts a text at places that are drawn, some of them empty pieces. */
function cut(text: string, places: readonly number[]): Buffer[] {
  const at = places.map((place) => place % (text.length + 1)).sort((a, b) => a - b)
  return [0, ...at].map((from, index) => bytes(text.slice(from, at[index] ?? text.length)))
}

const chars = (of: string) => fc.string({ unit: fc.constantFrom(...of), maxLength: 12 })
const body = fc.uint8Array({ maxLength: 60 }).map((array) => Buffer.from(array).toString('latin1'))
const noise = fc.array(
  fc.tuple(
    fc.constantFrom('Date', 'x-a', 'Content-Type', 'Audit-Id', "!#$%&'*+-.^_`|~0z"),
    chars('az09 \t,;="\xe9'),
  ),
  { maxLength: 4 },
)
const asFields = (list: readonly (readonly [string, string])[]) =>
  list.map(([name, value]) => `${name}:${value}\r\n`).join('')

const framing = fc.oneof(
  fc.record({
    kind: fc.constant('length' as const),
    name: fc.constantFrom('Content-Length', 'content-length', 'CONTENT-LENGTH'),
    twice: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('chunked' as const),
    name: fc.constantFrom('Transfer-Encoding', 'transfer-encoding'),
    sizes: fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 4 }),
    extension: fc.constantFrom('', ';', ';a=b', ';a="b c"'),
    trailer: noise,
  }),
  fc.record({ kind: fc.constant('close' as const) }),
)

function chunked(text: string, sizes: readonly number[], extension: string): string {
  let out = ''
  let at = 0
  for (const size of [...sizes, 60]) {
    const part = text.slice(at, at + size)
    at += size
    if (part) out += `${part.length.toString(16)}${extension}\r\n${part}\r\n`
  }
  return out
}

/** Answers that are right, with what must come out of them. */
const valid = fc
  .record({
    interim: fc.array(fc.constantFrom(100, 102, 103), { maxLength: 2 }),
    minor: fc.constantFrom(0, 1),
    status: fc.constantFrom(200, 201, 204, 304, 404, 429, 500),
    reason: fc.constantFrom('', ' ', ' OK', ' Too Many \xe9'),
    fields: noise,
    close: fc.boolean(),
    retryAfter: fc.constantFrom(undefined, '7'),
    framing,
    body,
  })
  .map((drawn) => {
    const { minor, status, framing, close, retryAfter } = drawn
    const empty = status === 204 || status === 304
    const isChunked = framing.kind === 'chunked' && minor === 1
    const text = empty ? '' : drawn.body
    let head = asFields(drawn.fields)
    if (close) head += 'Connection: x, Close\r\n'
    if (retryAfter) head += `Retry-After: ${retryAfter}\r\n`
    let tail = text
    if (isChunked) {
      head += `${framing.name}:\tchunked \r\n`
      if (!empty) {
        tail = `${chunked(text, framing.sizes, framing.extension)}0\r\n${asFields(framing.trailer)}\r\n`
      }
    } else if (framing.kind === 'length') {
      const field = `${framing.name}: ${drawn.body.length}\r\n`
      head += framing.twice ? field + field : field
    }
    const interim = drawn.interim.map((number) => `HTTP/1.1 ${number} x\r\nx: y\r\n\r\n`).join('')
    const untilClose = !empty && !isChunked && framing.kind !== 'length'
    const length = framing.kind === 'length' && !isChunked ? text.length : undefined
    return {
      text: `${interim}HTTP/1.${minor} ${status}${drawn.reason}\r\n${head}\r\n${tail}`,
      expected: {
        head: { status, length: empty ? 0 : length, retryAfter },
        body: text,
        end: 'complete',
        persistent: minor === 1 && !close && !untilClose,
        idleMs: undefined,
      },
    }
  })

test('a right answer is read as it was meant, however it is cut', () => {
  fc.assert(
    fc.property(valid, fc.array(fc.nat()), ({ text, expected }, places) => {
      assert.deepEqual(whole(text), expected)
      assert.deepEqual(single(text), expected)
      assert.deepEqual(parse(cut(text, places)), expected)
    }),
    { numRuns: 2_000 },
  )
})

test('each answer is the same for each of its cuts in two', () => {
  fc.assert(
    fc.property(valid, ({ text, expected }) => {
      for (let at = 0; at <= text.length; at++) assert.deepEqual(parse(cut(text, [at])), expected)
    }),
    { numRuns: 100 },
  )
})

test('the bytes of an answer end where it ends: whatever follows is nobody’s', () => {
  fc.assert(
    fc.property(valid, fc.constantFrom('H', 'HTTP/1.1 200 OK\r\n\r\n', '\r\n'), (one, more) => {
      if (!one.expected.persistent) return
      const { persistent, ...rest } = whole(one.text + more)
      const { persistent: _, ...expected } = one.expected
      assert.deepEqual(rest, expected)
      assert.equal(persistent, false)
    }),
  )
})

const mutation = fc.record({
  at: fc.nat(),
  kind: fc.constantFrom('replace', 'insert', 'delete', 'repeat'),
  text: fc.oneof(
    fc.constantFrom('\r', '\n', '\r\n', ' ', '\t', ':', ',', ';', '0', '-', '\0', '\x7f', '\xff'),
    fc.constantFrom('Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n', 'HTTP/1.1 200\r\n'),
  ),
})

test('a broken answer is read or refused with a code, and the same however it is cut', () => {
  const mutations = fc.array(mutation, { minLength: 1, maxLength: 3 })
  fc.assert(
    fc.property(valid, mutations, fc.array(fc.nat()), (answer, list, places) => {
      let { text } = answer
      for (const { at, kind, text: part } of list) {
        const place = at % (text.length + 1)
        const left = text.slice(0, place)
        if (kind === 'insert') text = left + part + text.slice(place)
        else if (kind === 'replace') text = left + part + text.slice(place + part.length)
        else if (kind === 'delete') text = left + text.slice(place + 1)
        else text = left + text.slice(Math.max(place - 20, 0))
      }
      const outcome = whole(text)
      assert.deepEqual(single(text), outcome)
      assert.deepEqual(parse(cut(text, places)), outcome)
    }),
    { numRuns: 5_000 },
  )
})

test('bytes without any sense are refused with a code', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (pieces) => {
      parse(pieces.map((piece) => Buffer.from(piece)))
    }),
  )
})

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`

/** What a server, or somebody in between, may try; RFC 9112 unless said otherwise. */
const HOSTILE: readonly (readonly [string, string, RegExp])[] = [
  ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n', /status line/],
  ['an answer of HTTP/2', 'HTTP/2 200 OK\r\n', /status line/],
  ['a minor version that does not exist', 'HTTP/1.2 200 OK\r\n', /status line/],
  ['lower case', 'http/1.1 200 OK\r\n', /status line/],
  ['an empty line before the status line', '\r\nHTTP/1.1 200 OK\r\n', /status line/],
  ['a space before the status line', ' HTTP/1.1 200 OK\r\n', /status line/],
  ['two spaces before the status', 'HTTP/1.1  200 OK\r\n', /status line/],
  ['a status of two digits', 'HTTP/1.1 20 OK\r\n', /status line/],
  ['a status of four digits', 'HTTP/1.1 2000 OK\r\n', /status line/],
  ['a status above 599', 'HTTP/1.1 600 OK\r\n', /status line/],
  ['a control character in the reason', 'HTTP/1.1 200 O\x00K\r\n', /status line/],
  ['a bare LF after the status line (2.2)', 'HTTP/1.1 200 OK\nx: y\r\n', /CRLF/],
  ['a bare CR inside the status line (2.2)', 'HTTP/1.1 200\r OK\r\n', /CRLF/],
  ['a bare LF as a line', `${OK}\n`, /CRLF/],
  ['a bare LF after a field', `${OK}x: y\nContent-Length: 1\r\n`, /CRLF/],
  ['a bare CR in a field', `${OK}x: y\rContent-Length: 1\r\n`, /CRLF/],
  ['two CR before the LF', `${OK}x: y\r\r\n`, /CRLF/],
  ['space before a colon (5.1)', `${OK}Content-Length : 1\r\n`, /not a field/],
  ['a tab before a colon', `${OK}Transfer-Encoding\t: chunked\r\n`, /not a field/],
  ['a folded field (5.2)', `${OK}x: y\r\n z\r\n`, /not a field/],
  ['a fold before the first field', `${OK} x: y\r\n`, /not a field/],
  ['a field without a name', `${OK}: y\r\n`, /not a field/],
  ['a field without a colon', `${OK}Content-Length 1\r\n`, /not a field/],
  ['NUL in a value', `${OK}x: \0\r\n`, /not a field/],
  ['DEL in a value', `${OK}x: \x7f\r\n`, /not a field/],
  ['a letter beyond ASCII in a name', `${OK}\xe9: y\r\n`, /not a field/],
  ['an empty Content-Length', `${OK}Content-Length:\r\n`, /not a number/],
  ['a negative Content-Length', `${OK}Content-Length: -1\r\n`, /not a number/],
  ['a Content-Length with a sign', `${OK}Content-Length: +1\r\n`, /not a number/],
  ['a hexadecimal Content-Length', `${OK}Content-Length: 0x1\r\n`, /not a number/],
  ['a Content-Length with a fraction', `${OK}Content-Length: 1.0\r\n`, /not a number/],
  ['a Content-Length beyond any', `${OK}Content-Length: ${'9'.repeat(16)}\r\n`, /not a number/],
  ['a no-break space around it', `${OK}Content-Length: \xa01\r\n`, /not a number/],
  ['a list with a hole', `${OK}Content-Length: 1,\r\n`, /not a number/],
  ['two lengths (6.3)', `${OK}Content-Length: 1\r\nContent-Length: 2\r\n`, /not the same/],
  ['two lengths in a list', `${OK}Content-Length: 1, 2\r\n`, /not the same/],
  [
    'length, then chunked (6.3)',
    `${OK}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
    /both/,
  ],
  ['chunked, then length', `${OK}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n`, /both/],
  ['another coding (6.1)', `${OK}Transfer-Encoding: gzip, chunked\r\n`, /chunked, once/],
  ['chunked as a part', `${OK}Transfer-Encoding: xchunked\r\n`, /chunked, once/],
  ['chunked in quotes', `${OK}Transfer-Encoding: "chunked"\r\n`, /chunked, once/],
  [
    'chunked twice',
    `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n`,
    /chunked, once/,
  ],
  ['chunked and not last', `${OK}Transfer-Encoding: chunked, identity\r\n`, /chunked, once/],
  ['chunked in HTTP/1.0 (6.1)', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', /1\.0/],
  ['an upgrade that nobody asked for', 'HTTP/1.1 101 Switching\r\n\r\n', /101/],
  ['a chunk without a size', `${CHUNKED}\r\n`, /size of a chunk/],
  ['a size that is not hexadecimal', `${CHUNKED}g\r\n`, /size of a chunk/],
  ['a size with 0x', `${CHUNKED}0x5\r\n`, /size of a chunk/],
  ['a size with a sign', `${CHUNKED}-5\r\n`, /size of a chunk/],
  ['a size beyond any', `${CHUNKED}${'f'.repeat(13)}\r\n`, /size of a chunk/],
  ['a size with a space before', `${CHUNKED} 5\r\n`, /size of a chunk/],
  ['a size with a space after', `${CHUNKED}5 \r\n`, /size of a chunk/],
  ['a size that ends with a bare LF', `${CHUNKED}1\nx\r\n`, /CRLF/],
  ['a control character in an extension', `${CHUNKED}1;\0\r\n`, /size of a chunk/],
  ['a chunk that is longer than its size', `${CHUNKED}1\r\nxy\r\n`, /too long|does not end/],
  ['a chunk that ends with a bare LF', `${CHUNKED}1\r\nx\n`, /CRLF/],
  ['a trailer that is not a field', `${CHUNKED}0\r\nx\r\n`, /not a field/],
  ['a folded trailer', `${CHUNKED}0\r\nx: y\r\n z\r\n`, /not a field/],
]

test('what is not an answer, or has two meanings, is refused', () => {
  for (const [name, text, why] of HOSTILE) {
    assert.match(whole(text).end, why, name)
    assert.match(single(text).end, why, name)
  }
})

test('a length that is said twice, and the same, is one length', () => {
  for (const fields of [
    'Content-Length: 1, 1\r\n',
    'Content-Length: 01\r\ncontent-length: 1\r\n',
  ]) {
    const { body, end } = whole(`${OK}${fields}\r\nx`)
    assert.deepEqual([body, end], ['x', 'complete'])
  }
})

test('an answer that breaks off is not complete, but one whose end is the end of the connection', () => {
  for (const text of [
    '',
    'HTTP/1.1 200',
    `${OK}x: y\r\n`,
    `${OK}Content-Length: 5\r\n\r\n1234`,
    CHUNKED,
    `${CHUNKED}5\r\n1234`,
    `${CHUNKED}5\r\n12345`,
    `${CHUNKED}5\r\n12345\r\n`,
    `${CHUNKED}0\r\n`,
    'HTTP/1.1 100 Continue\r\n\r\n',
  ]) {
    assert.equal(whole(text).end, 'incomplete', text)
  }
  assert.deepEqual(whole(`${OK}\r\n1234`), {
    head: { status: 200, length: undefined, retryAfter: undefined },
    body: '1234',
    end: 'complete',
    persistent: false,
    idleMs: undefined,
  })
})

test('each limit is kept, and what is exactly at it is taken', () => {
  const filled = (bytesMax: number) => {
    const head = `${OK}Content-Length: 0\r\n`
    return `${head}x: ${'y'.repeat(bytesMax - head.length - 'x: \r\n\r\n'.length)}\r\n\r\n`
  }
  const fields = (count: number) => `${OK}${'x: y\r\n'.repeat(count - 1)}Content-Length: 0\r\n\r\n`
  const trailer = (count: number) => `${CHUNKED}0\r\n${'x: y\r\n'.repeat(count)}\r\n`
  const long = (bytesMax: number) => `${CHUNKED}0\r\nx: ${'y'.repeat(bytesMax - 7)}\r\n\r\n`
  const size = (bytesMax: number) => `${CHUNKED}0;${'x'.repeat(bytesMax - 4)}\r\n\r\n`
  const interim = (count: number) =>
    `${'HTTP/1.1 103 x\r\n\r\n'.repeat(count)}${OK}Content-Length: 0\r\n\r\n`
  for (const [make, limit, why] of [
    [filled, HEAD_BYTES_MAX, /too long/],
    [fields, FIELDS_MAX, /more than 128/],
    [trailer, FIELDS_MAX, /more than 128/],
    [long, HEAD_BYTES_MAX, /too long/],
    [size, CHUNK_LINE_BYTES_MAX, /too long/],
    [interim, INTERIM_MAX, /interim/],
  ] as const) {
    assert.equal(whole(make(limit)).end, 'complete', make.name)
    assert.equal(single(make(limit)).end, 'complete', make.name)
    assert.match(whole(make(limit + 1)).end, why, make.name)
    assert.match(single(make(limit + 1)).end, why, make.name)
  }
  // Without an end it is not waited for, either.
  assert.match(whole('H'.repeat(HEAD_BYTES_MAX + 1)).end, /too long/)
  const endless = `HTTP/1.1 103 x\r\nx: ${'y'.repeat(3_000)}\r\n\r\n`.repeat(6)
  assert.match(whole(endless).end, /too long/)
})

test('how long an idle connection may be used is what the server says, and a second less', () => {
  for (const [field, ms] of [
    ['timeout=5', 4_000],
    ['timeout=1, max=100', 500],
    ['max=3, timeout=60', 59_000],
    ['max=3', undefined],
    ['timeout=0', 0],
  ] as const) {
    const { idleMs } = whole(`${OK}Keep-Alive: ${field}\r\nContent-Length: 0\r\n\r\n`)
    assert.equal(idleMs, ms, field)
  }
})

test('a sink that throws ends the answer', () => {
  const parser = new AnswerParser()
  parser.begin()
  const sink = {
    head() {},
    body() {
      throw new Error('enough')
    },
  }
  assert.throws(() => parser.push(bytes(`${OK}Content-Length: 9\r\n\r\nx`), sink), /enough/)
  parser.push(bytes('yyyyyyyy'), sink)
  assert.equal(parser.complete, false)
  assert.equal(parser.end(), false)
})
