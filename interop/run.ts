/**
 * `npm run interop`: Weir against what others have written, each in its real form.
 *
 *     npm run interop                what can be tried here; what cannot is named
 *     npm run interop -- --require   fails when something cannot be tried
 *     npm run interop -- --measure   prints figures with the Rust peer instead of running tests
 *
 * Builds the Rust peer with cargo and runs the tests against it, those of sync over the binding and those of Weir's own
 * QUIC; runs what takes long with the binding for Node, and QUIC with the OpenSSL that Node 26 contains; installs the
 * official Kubernetes client into a folder of its own, outside the workspace, and runs the tests against that; and runs the
 * controller against upstream API servers, where they were built.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { runCommand } from '../tools/children.ts'
import { ROOT } from '../tools/files.ts'
import { run as runKubernetes, runWithApiserver } from './kubernetes/run.ts'
import { opensslMissing } from './openssl/library.ts'
import { runTests } from './tests.ts'

const { values } = parseArgs({
  options: { require: { type: 'boolean' }, measure: { type: 'boolean' } },
})

const INTEROP = join(ROOT, 'interop')
const TARGET = process.env['CARGO_TARGET_DIR'] || join(homedir(), '.cache', 'weir-interop')
/** A selection of its own means another union of features, and iroh compiled again. */
const PACKAGE = 'weir-interop-peer'
const RUST_TESTS = Object.freeze([
  'rust.test.ts',
  'rust-sessions.test.ts',
  'rust-faults.test.ts',
  'rust-refuses.test.ts',
  join('quic', 'rust.test.ts'),
])
/** Weir's own QUIC with that of OpenSSL, which is in Node 26; in `npm test` with fewer bytes. */
const OPENSSL_TESTS = Object.freeze([join('openssl', 'openssl.test.ts')])
/** Weir's own QUIC with the iroh binding, which needs no cargo; the short part is in `npm test`. */
const BINDING_TESTS = Object.freeze([join('quic', 'binding-long.test.ts')])

const long = Object.freeze({ ...process.env, WEIR_INTEROP_LONG: '1' })

async function run(): Promise<number> {
  const rust = await againstRust()
  if (rust !== 0 || values.measure) return rust
  const binding = await runTests(BINDING_TESTS, long)
  if (binding !== 0) return binding
  const openssl = await againstOpenssl()
  return openssl !== 0 ? openssl : againstKubernetes()
}

async function againstRust(): Promise<number> {
  if (spawnSync('cargo', ['--version']).status !== 0) {
    return untried('the Rust peer: cargo is not installed, and it builds the peer (Rust 1.95)')
  }
  const target = ['--target-dir', TARGET]
  const build = ['build', '--release', '--locked', '--ignore-rust-version', '-j', '2']
  const built = await runCommand('cargo', [...build, '-p', PACKAGE, ...target], {
    cwd: join(INTEROP, 'rust'),
  })
  if (built !== 0) {
    console.error(`interop: the Rust peer was not built: cargo ended with ${built}.`)
    return built
  }
  const env = { ...process.env, WEIR_RUST_PEER: join(TARGET, 'release', PACKAGE) }
  if (!values.measure) return runTests(RUST_TESTS, env)
  const args = ['--conditions=weir-source', join(INTEROP, 'measure.ts')]
  return runCommand(process.execPath, args, { env })
}

async function againstOpenssl(): Promise<number> {
  const missing = opensslMissing()
  return missing === false ? runTests(OPENSSL_TESTS, long) : untried(`OpenSSL: ${missing}`)
}

async function againstKubernetes(): Promise<number> {
  const code = await runKubernetes()
  const client = join(INTEROP, 'kubernetes', 'node_modules', '@kubernetes', 'client-node')
  if (code !== 0) {
    if (existsSync(client)) return code
    const result = untried('the Kubernetes client: npm could not install it')
    if (result !== 0) return result
  }
  const result = await runWithApiserver()
  return typeof result === 'string' ? untried(`an upstream kube-apiserver: ${result}`) : result
}

/** Says what could not be tried. @returns the exit code of that */
function untried(what: string): number {
  console.log(`interop: NOT TRIED: ${what}.`)
  return values.require ? 1 : 0
}

process.exitCode = await run()
