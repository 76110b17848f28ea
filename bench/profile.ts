/**
 * Where the time goes in a CPU profile, by module and by function: own time in ms, and its share of what was not idle.
 *
 *     node bench/profile.ts FOLDER-OR-FILE [rows]
 *
 * Samples are of wall time: on a busy machine a process that waits for a core counts as busy where it stands. What V8
 * and Node do natively counts for the module that called it.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

interface Frame {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
}

interface Profile {
  readonly nodes: readonly { id: number; callFrame: Frame; children?: readonly number[] }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

function filesOf(at: string): string[] {
  if (!statSync(at).isDirectory()) return [at]
  const names = readdirSync(at, { recursive: true, encoding: 'utf8' })
  return names.filter((name) => name.endsWith('.cpuprofile')).map((name) => join(at, name))
}

function report(file: string, rows: number): void {
  const profile = JSON.parse(readFileSync(file, 'utf8')) as Profile
  const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]))
  const parents = new Map(
    profile.nodes.flatMap(({ id, children }) => (children ?? []).map((child) => [child, id])),
  )
  const modules = new Map<string, number>()
  const functions = new Map<string, number>()
  let busyUs = 0
  for (const [at, sample] of profile.samples.entries()) {
    const us = profile.timeDeltas[at]!
    const frame = frames.get(sample)!
    if (frame.functionName === '(idle)') continue
    busyUs += us
    const url = ownerOf(sample, frames, parents)
    add(modules, url === '' ? frame.functionName : moduleOf(url), us)
    add(functions, `${frame.functionName}  ${url === '' ? '' : shortOf(url)}`, us)
  }
  console.log(`\n${file}: ${Math.round(busyUs / 1_000)} ms busy`)
  for (const [title, times] of [
    ['module', modules],
    ['function', functions],
  ] as const) {
    console.log(`-- by ${title}`)
    const sorted = [...times].sort((a, b) => b[1] - a[1]).slice(0, rows)
    for (const [name, us] of sorted) {
      const share = ((100 * us) / busyUs).toFixed(1)
      console.log(`${String(Math.round(us / 1_000)).padStart(8)} ${share.padStart(5)} %  ${name}`)
    }
  }
}

/** The source of a frame, or of the nearest caller that has one. */
function ownerOf(
  node: number,
  frames: ReadonlyMap<number, Frame>,
  parents: ReadonlyMap<number, number>,
): string {
  for (let at: number | undefined = node; at !== undefined; at = parents.get(at)) {
    const url = frames.get(at)!.url
    if (url !== '') return url
  }
  return ''
}

const shortOf = (url: string): string => url.replace(/^file:.*\/(?:packages|node_modules)\//, '')

/** The folder of a source of ours, or the module of Node. */
const moduleOf = (url: string): string =>
  url.startsWith('node:') ? url : shortOf(url).replace(/\/[^/]*$/, '')

function add(times: Map<string, number>, name: string, us: number): void {
  times.set(name, (times.get(name) ?? 0) + us)
}

const [path = '.', rowsText = '30'] = process.argv.slice(2)
for (const file of filesOf(path)) report(file, Number(rowsText))
