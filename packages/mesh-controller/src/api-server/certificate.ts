/**
 * The key and the self-signed certificate of the embedded API, made by a library and kept for the next start, so that
 * kubeconfigs stay right.
 */
import { X509Certificate } from 'node:crypto'

export interface Identity {
  /** PEM. */
  readonly certificate: string
  /** PEM. */
  readonly key: string
}

const YEARS = 10
const DAY_MS = 86_400_000

/** Makes a certificate for loopback names and the host that is listened on. */
export async function makeIdentity(host: string, wallMs: number): Promise<Identity> {
  // Loaded only when a certificate is made: the library and what it needs take several MB.
  const { generate } = await import('selfsigned')
  const addresses = ['127.0.0.1', '::1']
  const isAddress = /^[\d.]+$/.test(host) || host.includes(':')
  if (isAddress && !addresses.includes(host) && host !== '0.0.0.0' && host !== '::') {
    addresses.push(host)
  }
  const names = ['localhost', ...(isAddress || host === 'localhost' ? [] : [host])]
  const made = await generate([{ name: 'commonName', value: 'weir-embedded-api' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    // A day back: clocks of clients differ.
    notBeforeDate: new Date(wallMs - DAY_MS),
    notAfterDate: new Date(wallMs + YEARS * 365 * DAY_MS),
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyCertSign: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          ...names.map((value) => ({ type: 2 as const, value })),
          ...addresses.map((ip) => ({ type: 7 as const, ip })),
        ],
      },
    ],
  })
  return { certificate: made.cert, key: made.private }
}

/** Whether a kept certificate can still be used for a year. */
export function isUsable(identity: Identity, wallMs: number): boolean {
  try {
    const { validTo } = new X509Certificate(identity.certificate)
    return Date.parse(validTo) > wallMs + 365 * DAY_MS
  } catch {
    return false
  }
}
