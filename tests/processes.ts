/** Processes of a test: started in a group of their own, found by pid, and never left behind. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

export { sleep }

/** Looks every `everyMs` until it holds. @throws naming `what` after `deadlineMs`. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  deadlineMs = 60_000,
  everyMs = 50,
): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${deadlineMs} ms`)
    await sleep(everyMs)
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

export interface Row {
  readonly pid: number
  readonly parent: number
  readonly command: string
}

/** Everything that runs below a process, itself not included. */
export function below(pid: number): Row[] {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .filter((match) => match !== null)
    .map(([, own, parent, command]) => ({
      pid: Number(own),
      parent: Number(parent),
      command: command!,
    }))
  const found: Row[] = []
  const visit = (parent: number) => {
    for (const row of rows) {
      if (row.parent !== parent) continue
      found.push(row)
      visit(row.pid)
    }
  }
  visit(pid)
  return found
}

/** A program in a process group of its own, as a terminal starts one. */
export class Program implements Disposable {
  readonly child: ChildProcess
  readonly ended: Promise<number | null>
  out = ''
  err = ''

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const inherited = { ...process.env }
    // A test runner tells its children how to report; a program is not one of them.
    delete inherited['NODE_TEST_CONTEXT']
    this.child = spawn(command, args, {
      cwd: new URL('..', import.meta.url),
      env: { ...inherited, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.out += text))
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.err += text))
    this.ended = new Promise((resolve) => this.child.once('close', (code) => resolve(code)))
  }

  get pid(): number {
    return this.child.pid!
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** Whether a process of the group is left: itself, or one that it has started at any time. */
  get groupIsAlive(): boolean {
    return isAlive(-this.pid)
  }

  /** As a terminal does with Ctrl-C: every process of the group gets it. */
  signalGroup(signal: NodeJS.Signals): void {
    process.kill(-this.pid, signal)
  }

  /** Waits until standard output matches. */
  async says(pattern: RegExp, deadlineMs = 60_000): Promise<RegExpExecArray> {
    let match: RegExpExecArray | null = null
    await until(
      `${pattern}`,
      () => {
        match = pattern.exec(this.out)
        if (match === null && !this.running) {
          throw new Error(`it ended without ${pattern}:\n${this.out}\n${this.err}`)
        }
        return match !== null
      },
      deadlineMs,
    )
    return match!
  }

  /** Waits until as many processes run below it. */
  async has(count: number, deadlineMs = 90_000): Promise<Row[]> {
    let rows: Row[] = []
    try {
      await until(
        `${count} processes below it`,
        () => {
          if (!this.running) throw new Error('it ended')
          rows = below(this.pid)
          return rows.length === count
        },
        deadlineMs,
      )
    } catch (error) {
      const seen = rows.map(({ pid, command }) => `${pid} ${command}`).join('\n')
      throw new Error(`${(error as Error).message}:\n${seen}\n${this.out}\n${this.err}`)
    }
    return rows
  }

  [Symbol.dispose](): void {
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      // nothing is left of the group
    }
  }
}
