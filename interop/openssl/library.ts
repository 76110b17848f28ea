/**
 * The functions of OpenSSL that its QUIC peer needs, called through `node:ffi` in the copy that Node itself contains.
 *
 * Node 26 has `node:ffi`, and its OpenSSL 3.5 a QUIC server. Where one of them is missing, the tests say so and do not run.
 */
import type { DynamicLibrary, FunctionSignature } from 'node:ffi'
import { isBuiltin } from 'node:module'

const POINTER = 'pointer'
const BYTES = 'buffer'
const TEXT = 'string'
const INT = 'int32'
const LONG = 'int64'
const SIZE = 'uint64'
const VOID = 'void'

const sign = <
  const Arguments extends readonly FunctionArgument[],
  const Result extends FunctionResult,
>(
  result: Result,
  ...parameters: Arguments
) => ({ return: result, arguments: parameters })

type FunctionArgument = NonNullable<FunctionSignature['arguments']>[number]
type FunctionResult = NonNullable<FunctionSignature['return']>

/** In the order of the manual pages: keys, contexts, sockets, connections, streams, errors. */
const definitions = Object.freeze({
  EVP_PKEY_new_raw_private_key: sign(POINTER, INT, POINTER, BYTES, SIZE),
  EVP_PKEY_get_raw_public_key: sign(INT, POINTER, BYTES, BYTES),
  OSSL_QUIC_client_method: sign(POINTER),
  OSSL_QUIC_server_method: sign(POINTER),
  SSL_CTX_new: sign(POINTER, POINTER),
  SSL_CTX_use_PrivateKey: sign(INT, POINTER, POINTER),
  SSL_CTX_set1_client_cert_type: sign(INT, POINTER, BYTES, SIZE),
  SSL_CTX_set1_server_cert_type: sign(INT, POINTER, BYTES, SIZE),
  SSL_CTX_set_verify: sign(VOID, POINTER, INT, POINTER),
  SSL_CTX_set_alpn_select_cb: sign(VOID, POINTER, POINTER, POINTER),
  SSL_CTX_set_ciphersuites: sign(INT, POINTER, TEXT),
  SSL_CTX_ctrl: sign(LONG, POINTER, INT, LONG, POINTER),
  BIO_socket: sign(INT, INT, INT, INT, INT),
  BIO_bind: sign(INT, INT, POINTER, INT),
  BIO_socket_nbio: sign(INT, INT, INT),
  BIO_sock_info: sign(INT, INT, INT, BYTES),
  BIO_ADDR_new: sign(POINTER),
  BIO_ADDR_free: sign(VOID, POINTER),
  BIO_ADDR_rawmake: sign(INT, POINTER, INT, BYTES, SIZE, 'uint16'),
  BIO_ADDR_rawport: sign('uint16', POINTER),
  BIO_new_dgram: sign(POINTER, INT, INT),
  SSL_new: sign(POINTER, POINTER),
  SSL_free: sign(VOID, POINTER),
  SSL_set_bio: sign(VOID, POINTER, POINTER, POINTER),
  SSL_set_blocking_mode: sign(INT, POINTER, INT),
  SSL_set_alpn_protos: sign(INT, POINTER, BYTES, 'uint32'),
  SSL_get0_alpn_selected: sign(VOID, POINTER, BYTES, BYTES),
  SSL_set1_initial_peer_addr: sign(INT, POINTER, POINTER),
  SSL_set_connect_state: sign(VOID, POINTER),
  SSL_do_handshake: sign(INT, POINTER),
  SSL_get0_peer_rpk: sign(POINTER, POINTER),
  SSL_handle_events: sign(INT, POINTER),
  SSL_new_listener: sign(POINTER, POINTER, SIZE),
  SSL_listen: sign(INT, POINTER),
  SSL_accept_connection: sign(POINTER, POINTER, SIZE),
  SSL_get_conn_close_info: sign(INT, POINTER, BYTES, SIZE),
  SSL_shutdown_ex: sign(INT, POINTER, SIZE, BYTES, SIZE),
  SSL_key_update: sign(INT, POINTER, INT),
  SSL_set_default_stream_mode: sign(INT, POINTER, 'uint32'),
  SSL_set_incoming_stream_policy: sign(INT, POINTER, INT, SIZE),
  SSL_new_stream: sign(POINTER, POINTER, SIZE),
  SSL_accept_stream: sign(POINTER, POINTER, SIZE),
  SSL_get_stream_type: sign(INT, POINTER),
  SSL_read_ex: sign(INT, POINTER, BYTES, SIZE, BYTES),
  SSL_write_ex: sign(INT, POINTER, BYTES, SIZE, BYTES),
  SSL_stream_conclude: sign(INT, POINTER, SIZE),
  SSL_stream_reset: sign(INT, POINTER, BYTES, SIZE),
  SSL_get_stream_read_error_code: sign(INT, POINTER, BYTES),
  SSL_get_stream_write_error_code: sign(INT, POINTER, BYTES),
  SSL_get_error: sign(INT, POINTER, INT),
  ERR_get_error: sign(SIZE),
  ERR_error_string_n: sign(VOID, SIZE, BYTES, SIZE),
  ERR_clear_error: sign(VOID),
})

/**
 * Why there is no QUIC of OpenSSL in this Node, or false when there is. Nothing is loaded for the answer: that prints a
 * warning, and belongs into the process of the peer.
 */
export function opensslMissing(): string | false {
  const { version, versions, platform } = process
  if (platform === 'win32') return 'Windows does not give the functions of a program to itself'
  if (!isBuiltin('node:ffi')) return `Node ${version} has no node:ffi; Node 26 has it`
  const [major, minor] = versions.openssl.split('.').map(Number)
  if (major! > 3 || (major === 3 && minor! >= 5)) return false
  return `OpenSSL ${versions.openssl} in Node ${version} serves no QUIC; 3.5 does`
}

function load() {
  const module = process.getBuiltinModule('node:ffi')
  const { lib, functions } = module.dlopen(null, definitions)
  return { lib, functions, memory: module }
}

export interface Openssl {
  readonly lib: DynamicLibrary
  readonly functions: ReturnType<typeof load>['functions']
  readonly memory: typeof import('node:ffi')
}

export const loadOpenssl: () => Openssl = load
