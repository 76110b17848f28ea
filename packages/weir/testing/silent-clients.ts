/**
 * Connections from another process, for `npm run costs`: what a server holds of them is measured in its own process,
 * without the other ends.
 *
 * The child is plain JavaScript, so that it is up at once; it ends when its standard input ends.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface SilentClients {
  readonly port: number
  readonly count: number
  /** Said on each connection once it is open. Default: nothing. */
  readonly words?: string
  /** Over TLS, without looking at the certificate. */
  readonly tls?: boolean
}

/** Settles when all are open. What is returned must be kept: it holds the child. */
export async function silentClients(options: SilentClients): Promise<unknown> {
  const given = JSON.stringify(options)
  const child = spawn(process.execPath, ['-e', CLIENTS, given], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  if (line.toString() !== 'open\n') throw new Error(`the clients say: ${line}`)
  child.unref()
  return child
}

const CLIENTS = `
  const { port, count, words = '', tls = false } = JSON.parse(process.argv[1])
  const options = { host: '127.0.0.1', port, rejectUnauthorized: false }
  const open = () => new Promise((resolve, reject) => {
    const net = require(tls ? 'tls' : 'net')
    const socket = net.connect(options, () => {
      if (words) socket.write(words)
      resolve(socket)
    })
    socket.on('error', reject)
    socket.pause()
  })
  const run = async () => {
    const sockets = []
    while (sockets.length < count) sockets.push(await open())
    console.log('open')
    process.stdin.on('end', () => process.exit()).resume()
  }
  run().catch((error) => console.log(String(error)))
`
