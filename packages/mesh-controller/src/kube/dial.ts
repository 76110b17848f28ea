/**
 * Opens the socket of a connection: TCP, or TLS with the name, the authorities and the certificates of the cluster.
 *
 * Memory: one buffer for what is read, shared by all sockets of the process: whoever is handed a part of it has the
 * time of the call, and copies what is kept.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, type SecureContext } from 'node:tls'

export interface DialOptions {
  /** Without the brackets of an IPv6 address. */
  readonly host: string
  readonly port: number
  /** Absent for plain TCP. */
  readonly tls?: TlsOptions | undefined
  /** Takes what was read, valid during the call; false stops the reading until `resume`. */
  read(bytes: Buffer): boolean
}

export interface TlsOptions {
  readonly context: SecureContext
  /** The name in the server's certificate. */
  readonly serverName: string
  readonly insecure: boolean
  /** Of an earlier connection with the same context, to do less for this one. */
  readonly session: Buffer | undefined
}

// As much as a TLS record brings; a socket of plain TCP is read in such pieces too.
const READ_BYTES = 16 * 1024
const PROBE_MS = 3_000
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES)

/** The socket is ready at `connect`, one of TLS at `secureConnect`. */
export function dial(options: DialOptions): Socket {
  const { host, port, tls, read } = options
  const onread = {
    buffer: readBuffer,
    callback: (count: number) => read(readBuffer.subarray(0, count)),
  }
  const address = { host, port, onread, noDelay: true }
  const socket = tls ? dialTls(address, tls) : connectTcp(address)
  // A peer that is gone without a word is noticed by the system, while a watch waits for hours.
  socket.setKeepAlive(true, PROBE_MS)
  socket.setNoDelay(true)
  return socket
}

function dialTls(
  address: { readonly host: string; readonly port: number },
  tls: TlsOptions,
): Socket {
  const { context, serverName, insecure, session } = tls
  return connectTls({
    ...address,
    secureContext: context,
    rejectUnauthorized: !insecure,
    // An address is checked against the certificate, but is no name that can be asked for (RFC 6066 section 3).
    ...(isIP(serverName) ? {} : { servername: serverName }),
    checkServerIdentity: (_host, certificate) => checkServerIdentity(serverName, certificate),
    ALPNProtocols: ['http/1.1'],
    ...(session ? { session } : {}),
  })
}
