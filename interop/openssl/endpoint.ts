/**
 * One QUIC endpoint of OpenSSL: keys, a listening socket, and dials. Node polls it; OpenSSL has no thread of its own here.
 *
 * Nothing is freed before the process ends but connections and streams: it is a program of tests.
 */
import { type Openssl, opensslMissing } from './library.ts'

const ED25519 = 1087
const RAW_PUBLIC_KEY = 2
const VERIFY_PEER_AND_FAIL_WITHOUT = 1 | 2
const CTRL_MODE = 33
const CTRL_GROUPS = 92
/** Partial writes, from a buffer that may move. */
const WRITE_MODE = 1n | 2n
const INET = 2
const DATAGRAMS = 2
const CLOSE_WITH = 1
const NO_BLOCK = 1n
const LISTENER_WITHOUT_RETRY = 2n
const ALPN_TAKEN = 0
const ALPN_FATAL = 2
const FAILED_HANDSHAKE_WAITS = Object.freeze([2, 3])
const NOTHING = 0n

export interface OpensslOptions {
  /** Seed of the Ed25519 key. */
  readonly seed: Uint8Array
  readonly protocol: Uint8Array
  readonly suites: string
  /** Groups that a dial offers; OpenSSL sends a key share for the first. Default OpenSSL's own. */
  readonly groups: string | undefined
  /** Whether a Retry proves every address, as OpenSSL does unless told otherwise. */
  readonly retry: boolean
}

export class OpensslEndpoint {
  readonly #openssl: Openssl
  readonly #options: OpensslOptions
  readonly #client: bigint
  readonly #listener: bigint
  readonly id: Buffer
  readonly port: number

  constructor(openssl: Openssl, options: OpensslOptions) {
    const missing = opensslMissing()
    if (missing !== false) throw new Error(missing)
    this.#openssl = openssl
    this.#options = options
    const { functions } = openssl
    const seed = Buffer.from(options.seed)
    const key = functions.EVP_PKEY_new_raw_private_key(ED25519, NOTHING, seed, 32n)
    this.id = this.#rawKey(key)
    this.#client = this.#context(functions.OSSL_QUIC_client_method(), key)
    const server = this.#context(functions.OSSL_QUIC_server_method(), key)
    this.#chooseProtocol(server)
    const { bio, port } = this.#socket()
    this.port = port
    this.#listener = functions.SSL_new_listener(server, options.retry ? 0n : LISTENER_WITHOUT_RETRY)
    functions.SSL_set_bio(this.#listener, bio, bio)
    this.check(functions.SSL_set_blocking_mode(this.#listener, 0), 'not blocking')
    this.check(functions.SSL_listen(this.#listener), 'listen')
  }

  /** Lets OpenSSL read, write and keep its time for what came in; dials are handled one by one. */
  handleEvents(): void {
    this.#openssl.functions.SSL_handle_events(this.#listener)
  }

  /** The next connection that somebody asked for. It may still be in its handshake. */
  accept(): bigint {
    return this.#openssl.functions.SSL_accept_connection(this.#listener, NO_BLOCK)
  }

  /** Begins to dial, from a socket of its own. */
  dial(host: string, port: number, protocol: Uint8Array): bigint {
    const { functions } = this.#openssl
    const connection = functions.SSL_new(this.#client)
    const { bio } = this.#socket()
    functions.SSL_set_bio(connection, bio, bio)
    this.check(functions.SSL_set_blocking_mode(connection, 0), 'not blocking')
    const named = Buffer.from([protocol.length, ...protocol])
    // The one function that returns 0 for good.
    if (functions.SSL_set_alpn_protos(connection, named, named.length) !== 0) this.check(0, 'ALPN')
    const address = this.#address(host, port)
    this.check(functions.SSL_set1_initial_peer_addr(connection, address), 'address')
    functions.BIO_ADDR_free(address)
    functions.SSL_set_connect_state(connection)
    return connection
  }

  /** @returns whether it is through; undefined when it has failed. */
  handshake(connection: bigint): boolean | undefined {
    const { functions } = this.#openssl
    functions.ERR_clear_error()
    const result = functions.SSL_do_handshake(connection)
    if (result === 1) return true
    const error = functions.SSL_get_error(connection, result)
    return FAILED_HANDSHAKE_WAITS.includes(error) ? false : undefined
  }

  /** The key that the peer of a handshake has proved to have. */
  remote(connection: bigint): Buffer {
    return this.#rawKey(this.#openssl.functions.SSL_get0_peer_rpk(connection))
  }

  protocolOf(connection: bigint): Buffer {
    const { functions, memory } = this.#openssl
    const [at, length] = [Buffer.alloc(8), Buffer.alloc(4)]
    functions.SSL_get0_alpn_selected(connection, at, length)
    const pointer = at.readBigUInt64LE()
    return pointer === NOTHING ? Buffer.alloc(0) : memory.toBuffer(pointer, length.readUInt32LE())
  }

  check(result: number | bigint, what: string): void {
    if (Number(result) > 0) return
    throw new Error(`OpenSSL, ${what}: ${this.errors()}`)
  }

  /** All that OpenSSL has to say, the newest last. */
  errors(): string {
    const { functions } = this.#openssl
    const texts: string[] = []
    for (let code = functions.ERR_get_error(); code !== 0n; code = functions.ERR_get_error()) {
      const text = Buffer.alloc(256)
      functions.ERR_error_string_n(code, text, 256n)
      texts.push(text.toString('latin1', 0, text.indexOf(0)))
    }
    return texts.join('; ')
  }

  #context(method: bigint, key: bigint): bigint {
    const { functions, lib, memory } = this.#openssl
    const context = functions.SSL_CTX_new(method)
    const raw = Buffer.from([RAW_PUBLIC_KEY])
    this.check(functions.SSL_CTX_use_PrivateKey(context, key), 'key')
    this.check(functions.SSL_CTX_set1_client_cert_type(context, raw, 1n), 'RFC 7250')
    this.check(functions.SSL_CTX_set1_server_cert_type(context, raw, 1n), 'RFC 7250')
    this.check(functions.SSL_CTX_set_ciphersuites(context, this.#options.suites), 'suites')
    functions.SSL_CTX_ctrl(context, CTRL_MODE, WRITE_MODE, NOTHING)
    if (this.#options.groups !== undefined) {
      const groups = Buffer.from(`${this.#options.groups}\0`)
      const set = functions.SSL_CTX_ctrl(context, CTRL_GROUPS, 0n, memory.getRawPointer(groups))
      this.check(set, 'groups')
    }
    // A raw key is not signed by anybody: OpenSSL proves that the peer has it, who it is comes out afterwards.
    const known = lib.registerCallback(
      { return: 'int32', arguments: ['int32', 'pointer'] },
      () => 1,
    )
    functions.SSL_CTX_set_verify(context, VERIFY_PEER_AND_FAIL_WITHOUT, known)
    return context
  }

  #chooseProtocol(context: bigint): void {
    const { functions, lib, memory } = this.#openssl
    const wanted = Buffer.from(this.#options.protocol)
    const signature = {
      return: 'int32',
      // Addresses as numbers: what calls back gives nothing else.
      arguments: ['uint64', 'uint64', 'uint64', 'uint64', 'uint32', 'uint64'],
    } as const
    const choose = lib.registerCallback(signature, (_, out, outLength, offered, length) => {
      const names = memory.toBuffer(offered, length)
      for (let at = 0; at < names.length; at += 1 + names[at]!) {
        const name = names.subarray(at + 1, at + 1 + names[at]!)
        if (!name.equals(wanted)) continue
        memory.setUint64(out, 0, offered + BigInt(at + 1))
        memory.setUint8(outLength, 0, name.length)
        return ALPN_TAKEN
      }
      return ALPN_FATAL
    })
    functions.SSL_CTX_set_alpn_select_cb(context, choose, NOTHING)
  }

  #rawKey(key: bigint): Buffer {
    const [bytes, length] = [Buffer.alloc(32), Buffer.alloc(8)]
    if (key === NOTHING) return bytes
    length.writeBigUInt64LE(32n)
    this.check(this.#openssl.functions.EVP_PKEY_get_raw_public_key(key, bytes, length), 'raw key')
    return bytes
  }

  #address(host: string, port: number): bigint {
    const { functions } = this.#openssl
    const address = functions.BIO_ADDR_new()
    const bytes = Buffer.from(host.split('.').map(Number))
    const made = functions.BIO_ADDR_rawmake(address, INET, bytes, 4n, swapped(port))
    this.check(made, `address ${host}`)
    return address
  }

  /** A UDP socket on loopback, and the port that the system gave it. */
  #socket(): { readonly bio: bigint; readonly port: number } {
    const { functions } = this.#openssl
    const socket = functions.BIO_socket(INET, DATAGRAMS, 0, 0)
    const address = this.#address('127.0.0.1', 0)
    this.check(functions.BIO_bind(socket, address, 0), 'bind')
    this.check(functions.BIO_socket_nbio(socket, 1), 'not blocking')
    const info = Buffer.alloc(8)
    info.writeBigUInt64LE(address)
    this.check(functions.BIO_sock_info(socket, 0, info), 'socket name')
    const port = swapped(functions.BIO_ADDR_rawport(address))
    functions.BIO_ADDR_free(address)
    return { bio: functions.BIO_new_dgram(socket, CLOSE_WITH), port }
  }
}

/** Ports are in network order. */
const swapped = (port: number): number => ((port & 0xff) << 8) | (port >>> 8)
