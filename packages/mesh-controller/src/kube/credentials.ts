/**
 * The token and the certificates of one cluster, as they are on disk now: a token file is read again every minute and
 * after a 401, certificate files when their time stamp changes.
 *
 * Memory: one token and one TLS context.
 */
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext, type SecureContext } from 'node:tls'
import { type Clock, type Instant, msBetween } from 'weir-mesh/runtime'
import type { ClusterConfig, PemSource } from './cluster-config.ts'
import { KubeError } from './errors.ts'

const READ_AGAIN_MS = 60_000

export class Credentials {
  readonly #config: ClusterConfig
  readonly #clock: Clock
  readonly #stamped: boolean
  #authorization: string | undefined
  #readingToken: Promise<string | undefined> | undefined
  #readingContext: Promise<SecureContext> | undefined
  #tokenAt: Instant | undefined
  #context: SecureContext | undefined
  #contextAt: Instant | undefined
  #stamp = ''

  constructor(config: ClusterConfig, clock: Clock) {
    this.#config = config
    this.#clock = clock
    this.#authorization = bearer(config.token)
    this.#stamped = [config.ca, config.certificate, config.key].some(
      (source) => source !== undefined && 'file' in source,
    )
  }

  /** The value of the `Authorization` header; a promise only when a file has to be read first. */
  authorization(): Promise<string | undefined> | string | undefined {
    const file = this.#config.tokenFile
    if (file === undefined || !this.#isOld(this.#tokenAt)) return this.#authorization
    this.#readingToken ??= this.#readToken(file).finally(() => {
      this.#readingToken = undefined
    })
    return this.#readingToken
  }

  /** The server did not accept the token. @returns whether another try may have another token. */
  rejected(): boolean {
    if (this.#config.tokenFile === undefined) return false
    this.#tokenAt = undefined
    return true
  }

  /** The TLS context; another object when a file has changed. A promise only when files have to be looked at first. */
  secureContext(): Promise<SecureContext> | SecureContext {
    if (this.#context && !(this.#stamped && this.#isOld(this.#contextAt))) return this.#context
    // One look for all that wait: each context of its own would end the connections of the one before.
    this.#readingContext ??= this.#readContext().finally(() => {
      this.#readingContext = undefined
    })
    return this.#readingContext
  }

  async #readToken(file: string): Promise<string | undefined> {
    this.#authorization = bearer((await readText(file, 'token')).trim())
    this.#tokenAt = this.#clock.now()
    return this.#authorization
  }

  async #readContext(): Promise<SecureContext> {
    const stamp = await this.#readStamp()
    if (!this.#context || stamp !== this.#stamp) {
      const { ca, certificate, key } = this.#config
      const [caPem, certificatePem, keyPem] = await Promise.all([
        readPem(ca, 'certificate authority'),
        readPem(certificate, 'client certificate'),
        readPem(key, 'client key'),
      ])
      try {
        this.#context = createSecureContext({
          ...(caPem === undefined ? {} : { ca: caPem }),
          ...(certificatePem === undefined ? {} : { cert: certificatePem }),
          ...(keyPem === undefined ? {} : { key: keyPem }),
          minVersion: 'TLSv1.2',
        })
      } catch (error) {
        throw new KubeError('KUBE_CREDENTIALS', 'the certificates of the cluster cannot be used', {
          cause: error,
        })
      }
      this.#stamp = stamp
    }
    this.#contextAt = this.#clock.now()
    return this.#context
  }

  #isOld(at: Instant | undefined): boolean {
    return at === undefined || msBetween(at, this.#clock.now()) >= READ_AGAIN_MS
  }

  async #readStamp(): Promise<string> {
    let stamp = ''
    for (const source of [this.#config.ca, this.#config.certificate, this.#config.key]) {
      if (source === undefined || !('file' in source)) continue
      try {
        const { mtimeMs, size } = await stat(source.file)
        stamp += `${mtimeMs}:${size};`
      } catch (error) {
        throw unreadable(source.file, 'certificate', error)
      }
    }
    return stamp
  }
}

function bearer(token: string | undefined): string | undefined {
  return token ? `Bearer ${token}` : undefined
}

async function readPem(source: PemSource | undefined, what: string): Promise<string | undefined> {
  if (source === undefined) return undefined
  return 'pem' in source ? source.pem : readText(source.file, what)
}

async function readText(file: string, what: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw unreadable(file, what, error)
  }
}

function unreadable(file: string, what: string, cause: unknown): KubeError {
  // Retryable: a mounted secret is swapped by the kubelet while we run.
  return new KubeError('KUBE_CREDENTIALS', `cannot read the ${what} file ${file}`, {
    cause,
    retryable: true,
  })
}
