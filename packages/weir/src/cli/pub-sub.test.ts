/** `weir pub` and `weir sub` as real processes over QUIC on loopback, killed and restarted. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Program } from './program.fixture.ts'

const options = { timeout: 100_000 }

interface Place {
  readonly folder: string
  key(name: string): Promise<string>
  /** Starts `pub` or `sub` with the key and the data of this name. */
  start(command: 'pub' | 'sub', name: string, ...more: string[]): Program
  run(...args: string[]): Promise<{ code: number | null; errors: string; lines: readonly string[] }>
}

/** A folder with keys; every program that was started there is gone at the end. */
async function place(run: (place: Place) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-pub-sub-'))
  await using programs = new AsyncDisposableStack()
  programs.defer(() => rmSync(folder, { recursive: true, force: true }))
  const open = (args: readonly string[]) => programs.use(new Program(args))
  const runOne: Place['run'] = async (...args) => {
    const program = open(args)
    program.endInput()
    const { code } = await program.ended
    return { code, errors: program.errors, lines: program.lines }
  }
  await run({
    folder,
    run: runOne,
    key: async (name) => {
      const { code, lines } = await runOne('keygen', join(folder, `${name}.key`))
      assert.equal(code, 0)
      return lines[0]!
    },
    start: (command, name, ...more) => {
      const files = ['--key', join(folder, `${name}.key`), '--data', join(folder, name)]
      return open([command, '--topic', 'demo', ...files, '--quiet', ...more])
    },
  })
}

const numbered = (from: number, until: number) =>
  Array.from({ length: until - from }, (_, at) => `line ${from + at}`)
const written = (from: number, until: number) => numbered(from, until).map((line) => `${line}\n`)
const peerOf = async (program: Program) => {
  const { id, address } = await program.address()
  return ['--peer', `${id}@${address}`]
}

test('sub prints each line of pub once, in order; both end in order by a signal', options, () =>
  place(async ({ key, start, folder }) => {
    const id = await key('a')
    await key('b')
    const pub = start('pub', 'a')
    assert.equal((await pub.address()).id, id)
    pub.write(written(0, 500).join(''))
    const sub = start('sub', 'b', ...(await peerOf(pub)))
    assert.deepEqual(await sub.prints(500), numbered(0, 500))
    pub.write(written(500, 510).join(''))
    pub.write('grüße \u{1f30a}\n\nthe last, without an end of line')
    pub.endInput()
    const lines = await sub.prints(513)
    assert.deepEqual(lines.slice(510), ['grüße \u{1f30a}', '', 'the last, without an end of line'])
    assert.equal(statSync(join(folder, 'a')).mode & 0o777, 0o700)

    // The end of its input has not ended pub: who comes later gets everything from it.
    await key('c')
    const late = start('sub', 'c', ...(await peerOf(pub)))
    assert.equal((await late.prints(513)).length, 513)
    assert.deepEqual(await sub.stop('SIGTERM'), { code: 0, signal: null })
    assert.deepEqual(await pub.stop('SIGINT'), { code: 0, signal: null })
    assert.deepEqual(await late.stop('SIGINT'), { code: 0, signal: null })
    assert.equal(sub.lines.length, 513)
  }),
)

test(
  'sub that was killed catches up, and repeats at most the one line it was killed at',
  options,
  () =>
    place(async ({ key, start }) => {
      await key('a')
      await key('b')
      const pub = start('pub', 'a')
      const peer = await peerOf(pub)
      pub.write(written(0, 2_000).join(''))
      const killed = start('sub', 'b', ...peer)
      await killed.prints(100)
      assert.deepEqual(await killed.stop('SIGKILL'), { code: null, signal: 'SIGKILL' })
      const before = [...killed.lines]
      assert.deepEqual(before, numbered(0, before.length))
      pub.write(written(2_000, 2_100).join(''))
      const again = start('sub', 'b', ...peer)
      await again.prints(2_100 - before.length)
      const first = numbered(0, 2_100).indexOf(again.lines[0]!)
      assert.ok(first === before.length || first === before.length - 1, `${first} ${before.length}`)
      await again.prints(2_100 - first)
      assert.deepEqual(again.lines, numbered(first, 2_100))

      // A restart in order repeats nothing.
      assert.equal((await again.stop('SIGTERM')).code, 0)
      const third = start('sub', 'b', ...peer)
      await third.address()
      pub.write('after\n')
      assert.deepEqual(await third.prints(1), ['after'])
    }),
)

test(
  'pub that was killed goes on with its log, and sub gets the rest without a repetition',
  options,
  () =>
    place(async ({ key, start }) => {
      await key('a')
      await key('b')
      const killed = start('pub', 'a')
      const peer = await peerOf(killed)
      const bind = ['--bind', peer[1]!.split('@')[1]!]
      const sub = start('sub', 'b', ...peer)
      killed.write(written(0, 300).join(''))
      await sub.prints(300)
      await killed.stop('SIGKILL')
      // It dials sub: by itself, sub would notice the loss only when the connection has timed out.
      const again = start('pub', 'a', ...bind, ...(await peerOf(sub)))
      again.write(written(300, 600).join(''))
      assert.deepEqual(await sub.prints(600), numbered(0, 600))

      // Both at once, and the log is still one.
      await again.stop('SIGKILL')
      await sub.stop('SIGKILL')
      const third = start('pub', 'a', ...bind)
      third.write('end\n')
      const late = start('sub', 'b', ...peer)
      const got = await late.prints(1)
      const rest = got[0] === 'end' ? ['end'] : ['line 599', 'end']
      assert.deepEqual(await late.prints(rest.length), rest)
      for (const program of [sub, late, again, third]) {
        assert.doesNotMatch(program.errors, /FORK|two histories/)
      }
    }),
)

test('the end of standard input ends both when it is asked for', options, () =>
  place(async ({ key, start }) => {
    await key('a')
    await key('b')
    const pub = start('pub', 'a', '--exit-with-stdin')
    const sub = start('sub', 'b', '--exit-with-stdin', ...(await peerOf(pub)))
    pub.write('one\n')
    await sub.prints(1)
    sub.endInput()
    assert.deepEqual(await sub.ended, { code: 0, signal: null })
    pub.endInput()
    assert.deepEqual(await pub.ended, { code: 0, signal: null })
  }),
)

test('a line that is too long is told and left out, the others are published', options, () =>
  place(async ({ key, start }) => {
    await key('a')
    await key('b')
    const pub = start('pub', 'a')
    const sub = start('sub', 'b', ...(await peerOf(pub)))
    pub.write(`first\n${'x'.repeat(1_500_000)}\n${'y'.repeat(900_000)}\nlast\n`)
    const lines = await sub.prints(3)
    assert.deepEqual(
      lines.map(({ length }) => length),
      [5, 900_000, 4],
    )
    await pub.says(/LINE_REFUSED: line 2 was not published: it has more than \d+ bytes/)
  }),
)

test('nodes of another network and unknown nodes are kept out', options, () =>
  place(async ({ key, start }) => {
    const [, b] = [await key('a'), await key('b')]
    await key('c')
    const pub = start('pub', 'a', '--known-peers-only', '--peer', `${b}@127.0.0.1:1`)
    const peer = await peerOf(pub)
    pub.write('secret\n')
    const stranger = start('sub', 'c', ...peer)
    await pub.says(/a peer that is not permitted was refused/)
    const known = start('sub', 'b', ...peer)
    assert.deepEqual(await known.prints(1), ['secret'])
    assert.deepEqual(stranger.lines, [])
    await known.stop('SIGTERM')
    const other = start('sub', 'b', '--network-id', 'other', '--log-level', 'debug', ...peer)
    await other.says(/PROTOCOL_REFUSED/)
    assert.deepEqual(other.lines, [])
  }),
)

test(
  'health and metrics are served when they are asked for, and a taken port is told',
  options,
  () =>
    place(async ({ key, start }) => {
      await key('a')
      await key('b')
      const pub = start('pub', 'a', '--status', '127.0.0.1:0')
      const [, url] = await pub.says(/health and metrics on (\S+)/)
      const ready = await fetch(`${url}/readyz`)
      assert.deepEqual([ready.status, await ready.text()], [200, 'ok\n'])
      const metrics = await (await fetch(`${url}/metrics`)).text()
      assert.match(metrics, /weir_memory_limit_bytes \d+\n/)
      assert.match(metrics, /weir_memory_term_bytes\{term="quic.keys"\} \d+\n/)
      const second = start('pub', 'b', '--status', new URL(url!).host)
      assert.equal((await second.ended).code, 1)
      assert.match(second.errors, /^weir: PORT_TAKEN: .*give the status server another port/m)
    }),
)

test('a reader that has stopped does not hold up the end, and the line comes again', options, () =>
  place(async ({ key, start }) => {
    await key('a')
    await key('b')
    const pub = start('pub', 'a')
    const peer = await peerOf(pub)
    const sub = start('sub', 'b', ...peer)
    await sub.address()
    sub.pauseOutput()
    // More than a pipe takes.
    for (let count = 0; count < 400; count++) pub.write(`${count} ${'x'.repeat(1_000)}\n`)
    await sub.stuck()
    assert.deepEqual(await sub.stop('SIGTERM'), { code: 0, signal: null }, sub.errors)
    const again = start('sub', 'b', ...peer)
    const lines = await again.prints(1)
    const [next] = lines[0]!.split(' ')
    const printed = sub.lines.map((line) => line.split(' ')[0])
    assert.ok(printed.length > 10)
    assert.ok(Number(next) <= printed.length, `${next} after ${printed.length} lines`)
  }),
)

test('each bad input ends with one coded line that says what to do', options, () =>
  place(async ({ key, start, run, folder }) => {
    await key('a')
    await key('b')
    const pub = start('pub', 'a')
    const { address } = await pub.address()
    const file = join(folder, 'a.key')
    const text = (name: string, content: string, mode = 0o600) => {
      writeFileSync(join(folder, name), content, { mode })
      chmodSync(join(folder, name), mode)
    }
    text('broken.key', 'not a key')
    text('open.key', `${'ab'.repeat(32)}\n`, 0o644)
    const cases: readonly [number, RegExp, Promise<{ code: number | null; errors: string }>][] = [
      [1, /KEY_FILE_EXISTS/, run('keygen', file)],
      [2, /USAGE: required option '--topic/, run('pub')],
      [2, /USAGE: there is no command 'nothing'/, run('nothing')],
      [2, /PEER_INVALID/, ended(start('sub', 'b', '--peer', 'x@127.0.0.1:1'))],
      [2, /ADDRESS_INVALID/, ended(start('sub', 'b', '--bind', 'localhost'))],
      [2, /SIZE_INVALID/, ended(start('sub', 'b', '--memory', 'lots'))],
      [1, /PLAN_TOO_LARGE: .* raise the limit/, ended(start('sub', 'b', '--memory', '20Mi'))],
      [1, /TRANSPORT_UNKNOWN/, ended(start('sub', 'b', '--transport', 'tcp'))],
      [1, /KEY_FILE_MISSING: .*weir keygen/, ended(start('sub', 'nobody'))],
      [2, /KEY_FILE_INVALID/, ended(start('sub', 'broken'))],
      [1, /KEY_FILE_PERMISSIONS: .*chmod 600/, ended(start('sub', 'open'))],
      [1, /ADDRESS_IN_USE: .*another port/, ended(start('pub', 'b', '--bind', address))],
      [1, /STORE_LOCKED/, ended(start('sub', 'a'))],
    ]
    for (const [code, pattern, outcome] of cases) {
      const { code: got, errors } = await outcome
      const lines = errors
        .trimEnd()
        .split('\n')
        .filter((line) => line.startsWith('weir: '))
      assert.equal(lines.length, 1, errors)
      assert.match(lines[0]!, pattern)
      assert.doesNotMatch(errors, /^ {4}at /m, 'a stack is for bugs')
      assert.equal(got, code, errors)
    }
    assert.ok(!existsSync(join(folder, 'broken')), 'a node with a bad key made its folder')
  }),
)

test('an input that cannot be read ends pub with one coded line, and in order', options, () =>
  place(async ({ key, folder }) => {
    await key('a')
    const data = join(folder, 'a')
    const args = ['pub', '--topic', 'demo', '--key', join(folder, 'a.key'), '--data', data]
    const inputs = [
      [folder, 'r', /^weir: INPUT_UNREADABLE: standard input is a folder; .* pipe/m],
      [join(folder, 'written'), 'w', /^weir: INPUT_UNREADABLE: .* pipe .* <- EBADF/m],
    ] as const
    for (const [path, flags, told] of inputs) {
      const input = openSync(path, flags)
      await using pub = new Program([...args, '--quiet'], {}, input)
      closeSync(input)
      const { code } = await pub.ended
      assert.equal(code, 1, pub.errors)
      assert.match(pub.errors, told)
      assert.equal(pub.errors.match(/^weir: INPUT/gm)?.length, 1)
      assert.doesNotMatch(pub.errors, /^ {4}at |^Node.js v/m, 'a stack is for bugs')
      assert.deepEqual(readdirSync(data), ['weir.db'], 'the store was not closed')
    }
  }),
)

test('plan prints the plan of a limit, and of the config of a controller', options, () =>
  place(async ({ run }) => {
    const plan = await run('plan', '--memory', '300Mi')
    assert.equal(plan.code, 0)
    assert.match(
      plan.lines.join('\n'),
      /limit as given:[\s\S]*sync\.live [\s\S]*total .* of 300\.0 MiB$/,
    )
    const missing = await run('plan', '--config', '/nowhere/config.yaml')
    assert.match(missing.errors, /CONFIG_UNREADABLE|CONTROLLER_MISSING/)
    assert.notEqual(missing.code, 0)
  }),
)

async function ended(program: Program) {
  program.endInput()
  const { code } = await program.ended
  return { code, errors: program.errors }
}
