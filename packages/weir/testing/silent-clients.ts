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
  const child = spawn(process.execPath, ['-e', CLIENTS], { stdio: ['pipe', 'pipe', 'inherit'] })
  // Not as an argument: the child process object keeps those, and would be measured with them.
  child.stdin.write(`${JSON.stringify(options)}\n`)
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  if (line.toString() !== 'open\n') throw new Error(`the clients say: ${line}`)
  child.unref()
  return child
}

const CLIENTS = `
  const open = ({ port, words = '', tls = false }) => new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, rejectUnauthorized: false }
    const net = require(tls ? 'tls' : 'net')
    const socket = net.connect(options, () => {
      if (words) socket.write(words)
      resolve(socket)
    })
    socket.on('error', reject)
    socket.pause()
  })
  const run = async (given) => {
    const sockets = []
    while (sockets.length < given.count) sockets.push(await open(given))
    console.log('open')
  }
  const input = require('readline').createInterface({ input: process.stdin })
  input.once('line', (line) => run(JSON.parse(line)).catch((error) => console.log(String(error))))
  input.once('close', () => process.exit())
`
