/** The file with which kubectl and the controller find the embedded API. JSON, so that reading it needs no parser. */
export interface KubeconfigOptions {
  readonly server: string
  readonly token: string
  /** PEM; the certificate is its own authority. */
  readonly certificate: string
  /** Name of cluster, user and context. Default `weir`. */
  readonly name?: string
  /** Default `default`. */
  readonly namespace?: string
}

export function kubeconfigOf(options: KubeconfigOptions): string {
  const name = options.name ?? 'weir'
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [
      {
        name,
        cluster: {
          server: options.server,
          'certificate-authority-data': Buffer.from(options.certificate).toString('base64'),
        },
      },
    ],
    users: [{ name, user: { token: options.token } }],
    contexts: [
      {
        name,
        context: { cluster: name, user: name, namespace: options.namespace ?? 'default' },
      },
    ],
  }
  return `${JSON.stringify(config, null, 2)}\n`
}
