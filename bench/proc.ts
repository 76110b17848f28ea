/** What Linux says of a process: memory from `/proc/PID/status`, CPU time from `/proc/PID/stat`. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'

const MB = 1e6
const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

export interface Memory {
  /** Resident now, in bytes. */
  readonly rss: number
  /** The most since the start, or since `resetPeak`. */
  readonly peak: number
  /** Without pages of files. */
  readonly anonymous: number
}

export function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/status`, 'latin1')
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? Number.NaN) * 1024
  return { rss: field('VmRSS'), peak: field('VmHWM'), anonymous: field('RssAnon') }
}

/** Forgets the peak, so that the next one is that of what follows. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

/** CPU seconds of all threads so far. */
export function cpuOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

export const megabytes = (bytes: number): number => Math.round(bytes / (MB / 10)) / 10

export const mebibytes = (bytes: number): number => Math.round(bytes / (1024 * 102.4)) / 10

/** Load of the machine, for the record: others may be using it. */
export function loadAverage(): string {
  return readFileSync('/proc/loadavg', 'latin1').split(' ').slice(0, 3).join(' ')
}
