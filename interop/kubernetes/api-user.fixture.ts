/** Asks a Kubernetes API as one user, without the client that is under test. */
import { Agent, request } from 'node:https'

export interface ApiAnswer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects, and fails where it is not
  readonly body: any
}

export class ApiUser {
  readonly #url: string
  readonly #agent: Agent
  readonly #token: string | undefined

  constructor(url: string, ca: string, user: { readonly token?: string } = {}) {
    this.#url = url
    this.#token = user.token
    this.#agent = new Agent({ keepAlive: true, maxSockets: 16, ca })
  }

  ask(
    method: string,
    path: string,
    body?: unknown,
    contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
  ): Promise<ApiAnswer> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const sent = request(
        new URL(path, this.#url),
        {
          method,
          agent: this.#agent,
          headers: {
            ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
            ...(text === undefined
              ? {}
              : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
          },
        },
        (answer) => {
          let all = ''
          answer.setEncoding('utf8')
          answer.on('data', (chunk: string) => (all += chunk))
          answer.once('error', reject)
          answer.once('end', () =>
            resolve({
              status: answer.statusCode ?? 0,
              headers: answer.headers,
              text: all,
              body: all.startsWith('{') ? JSON.parse(all) : {},
            }),
          )
        },
      )
      sent.once('error', reject)
      sent.end(text)
    })
  }

  /** As `ask`. @throws when the answer is no success. */
  async must(method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    const answer = await this.ask(method, path, body)
    if (answer.status < 300) return answer
    throw new Error(`${method} ${path}: ${answer.status} ${answer.text.slice(0, 500)}`)
  }

  close(): void {
    this.#agent.destroy()
  }
}
