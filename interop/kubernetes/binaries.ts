/**
 * Where an upstream kube-apiserver and etcd are: named by the environment, or built by `build-apiserver.ts`.
 */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** The release that is built when none is named. */
export const VERSION_DEFAULT = 'v1.36.3'

export interface Binaries {
  readonly apiserver: string
  readonly etcd: string
}

/** Where `build-apiserver.ts` leaves what it builds of a release. */
export function binariesFolder(version: string): string {
  return join(homedir(), '.cache', 'weir-kube', version)
}

/** @returns the programs, or why there are none: the first build takes long, so nothing builds them by itself. */
export function findBinaries(environment: NodeJS.ProcessEnv = process.env): Binaries | string {
  const folder = binariesFolder(environment['WEIR_KUBE_VERSION'] || VERSION_DEFAULT)
  const apiserver = environment['WEIR_KUBE_APISERVER'] || join(folder, 'kube-apiserver')
  const etcd = environment['WEIR_ETCD'] || join(folder, 'etcd')
  const missing = [apiserver, etcd].filter((file) => !existsSync(file))
  if (missing.length === 0) return { apiserver, etcd }
  return `${missing.join(' and ')} not there: interop/kubernetes/build-apiserver.ts builds them`
}
