/**
 * The embedded API as a process of its own: for the demo, for tests, and for trying things out.
 *
 * It ends in an orderly way on SIGTERM and SIGINT, and when its standard input ends, which is how a child learns that
 * its parent is gone.
 */
import { randomBytes } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Ledger, parseBytes, planMemory } from 'weir-mesh/bounds'
import { createLogger, describeError, makePrivateFolder, Scope, WeirError } from 'weir-mesh/runtime'
import { isJsonObject, type JsonObject, parseJson } from '../kube/index.ts'
import { type Identity, isUsable, makeIdentity } from './certificate.ts'
import { apiTerms, DEFAULT_API_LIMITS } from './memory.ts'
import { ApiServer } from './server.ts'

const USAGE = `Usage: api-server [options]
  --listen HOST:PORT        where to listen (default 127.0.0.1:0)
  --kubeconfig-out PATH     write a kubeconfig here, readable by the owner only
  --name NAME               name of the cluster in the kubeconfig (default weir)
  --crd FILE                install the CustomResourceDefinitions of a YAML or JSON file; may be repeated
  --state-dir PATH          keep key, certificate and token here, so that kubeconfigs survive a restart
  --bookmark-ms N           how often a watch is told how far it has come (default 3000)
  --memory BYTES            what the accounts may hold together (default 256Mi)`

interface Saved extends Identity {
  readonly token: string
}

/** Runs until it is told to end. @returns the exit code. */
export async function main(argv: readonly string[]): Promise<number> {
  const log = createLogger({ level: 'warn' })
  const scope = new Scope('api', { log, closeDeadlineMs: 2_000 })
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: {
        listen: { type: 'string', default: '127.0.0.1:0' },
        'kubeconfig-out': { type: 'string' },
        name: { type: 'string', default: 'weir' },
        crd: { type: 'string', multiple: true, default: [] },
        'state-dir': { type: 'string' },
        'bookmark-ms': { type: 'string', default: '3000' },
        memory: { type: 'string', default: '256Mi' },
        help: { type: 'boolean', default: false },
      },
    })
    if (values.help) {
      console.log(USAGE)
      return 0
    }
    const ended = untilEnd(scope)
    const terms = apiTerms(DEFAULT_API_LIMITS)
    const plan = planMemory(Object.values(terms), { limitBytes: parseBytes(values.memory) })
    const ledger = new Ledger(plan, { log, counters: scope.counters })
    const saved = await loadIdentity(values['state-dir'], values.listen)
    const server = await ApiServer.open({
      scope,
      ledger,
      terms,
      listen: values.listen,
      bookmarkMs: parseInterval(values['bookmark-ms']),
      token: saved.token,
      identity: saved,
    })
    for (const file of values.crd) {
      for (const definition of await readDefinitions(file)) server.define(definition)
    }
    const out = values['kubeconfig-out']
    if (out !== undefined) await writePrivate(out, server.kubeconfig({ name: values.name }))
    console.log(JSON.stringify({ event: 'ready', url: server.url }))
    await ended
    return 0
  } catch (error) {
    console.error(describeError(error))
    return 1
  } finally {
    await scope.close()
  }
}

/** Resolves when a signal or the end of standard input says that it is time. */
function untilEnd(scope: Scope): Promise<void> {
  return new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      scope.listen(process, signal, () => resolve())
    // Nothing is ever written to us; reading is what shows the end.
    scope.listen(process.stdin, 'end', () => resolve())
    scope.listen(process.stdin, 'error', () => resolve())
    process.stdin.resume()
    scope.defer('standard input', () => process.stdin.destroy())
  })
}

async function loadIdentity(folder: string | undefined, listen: string): Promise<Saved> {
  const host = listen.slice(0, listen.lastIndexOf(':')).replace(/^\[|\]$/g, '')
  const path = folder === undefined ? undefined : join(folder, 'identity.json')
  const kept = path === undefined ? undefined : await readSaved(path)
  if (kept && isUsable(kept, Date.now())) return kept
  const made: Saved = {
    ...(await makeIdentity(host, Date.now())),
    token: kept?.token ?? randomBytes(32).toString('hex'),
  }
  if (path !== undefined && folder !== undefined) {
    makePrivateFolder(folder)
    await writePrivate(path, JSON.stringify(made))
  }
  return made
}

async function readSaved(path: string): Promise<Saved | undefined> {
  try {
    const value = parseJson(await readFile(path, 'utf8'))
    if (!isJsonObject(value)) return undefined
    const { certificate, key, token } = value
    if (typeof certificate !== 'string' || typeof key !== 'string' || typeof token !== 'string') {
      return undefined
    }
    return { certificate, key, token }
  } catch {
    return undefined // the first start, or a file that is of no use: another one is written
  }
}

/** Never half-written, and never readable by others, not even for a moment. */
async function writePrivate(path: string, text: string): Promise<void> {
  const partial = `${path}.${process.pid}.partial`
  await writeFile(partial, text, { mode: 0o600, flag: 'wx' })
  await rename(partial, path)
}

async function readDefinitions(file: string): Promise<JsonObject[]> {
  const text = await readFile(file, 'utf8')
  const { parseAllDocuments } = await import('yaml')
  const documents = parseAllDocuments(text, { uniqueKeys: true })
  const definitions: JsonObject[] = []
  for (const document of 'empty' in documents ? [] : documents) {
    if (document.errors.length > 0) {
      throw new WeirError('CRD_INVALID', `${file}: ${document.errors[0]?.message.split('\n')[0]}`)
    }
    const value: unknown = document.toJS({ maxAliasCount: 0 })
    if (value === null) continue
    if (!isJsonObject(value) || value['kind'] !== 'CustomResourceDefinition') {
      throw new WeirError('CRD_INVALID', `${file} holds something else than definitions`)
    }
    definitions.push(value)
  }
  return definitions
}

function parseInterval(text: string): number {
  const ms = Number(text)
  if (Number.isInteger(ms) && ms >= 100 && ms <= 600_000) return ms
  throw new WeirError('OPTION_INVALID', `--bookmark-ms ${text}: give a number from 100 to 600000`)
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
