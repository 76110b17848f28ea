/** A control group of 200 MiB for each controller, v1 or v2, where this user may make one. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { fill } from './bursts.ts'
import type { Context, Measure } from './measure.ts'
import { mebibytes } from './proc.ts'
import { Mesh } from './zones.ts'

const LIMIT_BYTES = 200 * 1024 * 1024
const V1 = '/sys/fs/cgroup/memory'
const V2 = '/sys/fs/cgroup'

interface Group {
  readonly path: string
  readonly peak: () => number
  readonly kills: () => number
}

export async function controlGroup({ mesh: options, quick, say }: Context): Promise<Measure[]> {
  const groups: Group[] = []
  const made = (zone: string): Group | undefined => {
    try {
      return existsSync(V1) ? makeV1(zone) : makeV2(zone)
    } catch {
      return undefined
    }
  }
  const probe = made('probe')
  if (!probe) {
    say('no control group can be made here: needs root and a writable memory controller')
    return []
  }
  rmdirSync(probe.path)
  const mesh = await Mesh.prepare({
    ...options,
    onStart(zone, pid) {
      const group = made(zone)!
      groups.push(group)
      writeFileSync(`${group.path}/cgroup.procs`, String(pid))
    },
  })
  try {
    for (const controller of mesh.controllers) controller.start()
    await mesh.joined()
    const measures = await fill(mesh, quick ? [1_000, 1_000] : [1_000, 10_000], say)
    const peaks = groups.map((group) => mebibytes(group.peak()))
    const kills = groups.reduce((sum, group) => sum + group.kills(), 0)
    const dead = mesh.controllers.filter(({ alive }) => !alive).length
    return [
      {
        name: `${quick ? 2_000 : 11_000} objects in a 200 MiB control group: controllers killed`,
        value: Math.max(kills, dead),
        unit: 'of 3',
        target: { most: 0 },
        reference: 'killed in 2 of 2 runs',
        worst: true,
        note: `peak of the groups ${peaks.join(', ')} MiB, pages of files included`,
      },
      {
        ...measures.find(({ name }) =>
          name.startsWith(`burst of ${quick ? 1_000 : 10_000}: both`),
        )!,
        name: `the second burst in a 200 MiB control group: both peers have all`,
      },
    ]
  } finally {
    await mesh.close()
    for (const { path } of groups) {
      try {
        rmdirSync(path)
      } catch {
        say(`${path} could not be removed`)
      }
    }
  }
}

function makeV1(zone: string): Group {
  const path = `${V1}/weir-bench-${process.pid}-${zone}`
  mkdirSync(path)
  writeFileSync(`${path}/memory.limit_in_bytes`, String(LIMIT_BYTES))
  const read = (name: string) => readFileSync(`${path}/${name}`, 'latin1')
  return {
    path,
    peak: () => Number(read('memory.max_usage_in_bytes')),
    kills: () => Number(/oom_kill (\d+)/.exec(read('memory.oom_control'))?.[1] ?? 0),
  }
}

function makeV2(zone: string): Group {
  const path = `${V2}/weir-bench-${process.pid}-${zone}`
  mkdirSync(path)
  writeFileSync(`${path}/memory.max`, String(LIMIT_BYTES))
  const read = (name: string) => readFileSync(`${path}/${name}`, 'latin1')
  return {
    path,
    peak: () => Number(read('memory.peak')),
    kills: () => Number(/oom_kill (\d+)/.exec(read('memory.events'))?.[1] ?? 0),
  }
}
