/** An authority for one test cluster, and what it signs. */
import { generate } from 'selfsigned'

export interface Signed {
  /** PEM. */
  readonly certificate: string
  readonly key: string
}

const COMMON = Object.freeze({ keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const)

export async function makeAuthority(): Promise<Signed> {
  const made = await generate([{ name: 'commonName', value: 'weir-test-authority' }], {
    ...COMMON,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyCertSign: true, critical: true },
    ],
  })
  return { certificate: made.cert, key: made.private }
}

/** A certificate for a server on loopback, or for a client whose user name is `name`. */
export async function signedBy(
  authority: Signed,
  options: { readonly name: string; readonly server?: boolean },
): Promise<Signed> {
  const made = await generate([{ name: 'commonName', value: options.name }], {
    ...COMMON,
    ca: { key: authority.key, cert: authority.certificate },
    extensions: [
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', ...(options.server ? { serverAuth: true } : { clientAuth: true }) },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  })
  return { certificate: made.cert, key: made.private }
}
