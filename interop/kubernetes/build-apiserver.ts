/**
 * Builds an upstream kube-apiserver and etcd from their Go modules, for `cluster.test.ts`. By hand, not in CI: it compiles
 * 2 000 packages.
 *
 *     node tools/with-node.js interop/kubernetes/build-apiserver.ts [v1.36.3]
 *
 * Both land in `~/.cache/weir-kube/<version>/`. The scratch module beside them replaces what k8s.io/kubernetes takes from
 * its own staging folder, which its published module does not contain, by the modules of the same release. The version of
 * etcd is the one that the release was tested with.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { runCommand } from '../../tools/children.ts'
import { binariesFolder, VERSION_DEFAULT } from './binaries.ts'

const KUBERNETES = 'k8s.io/kubernetes'
const ETCD = 'go.etcd.io/etcd/server/v3'

const APISERVER_MAIN = `package main

import (
	"os"

	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
`

const ETCD_MAIN = `package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
`

interface Downloaded {
  readonly GoMod: string
}

interface GoMod {
  readonly Require: readonly { readonly Path: string; readonly Version: string }[]
  readonly Replace: readonly {
    readonly Old: { readonly Path: string }
    readonly New: { readonly Path: string }
  }[]
}

async function build(version: string): Promise<number> {
  const minor = /^v1\.(\d+)\.(\d+)$/.exec(version)
  if (!minor) {
    console.error(`'${version}' is no release such as ${VERSION_DEFAULT}.`)
    return 2
  }
  const folder = binariesFolder(version)
  const scratch = join(folder, 'module')
  for (const name of ['kube-apiserver', 'etcd']) {
    mkdirSync(join(scratch, name), { recursive: true })
  }
  writeFileSync(join(scratch, 'kube-apiserver', 'main.go'), APISERVER_MAIN)
  writeFileSync(join(scratch, 'etcd', 'main.go'), ETCD_MAIN)
  const module = await json<Downloaded>(['mod', 'download', '-json', `${KUBERNETES}@${version}`])
  const given = await json<GoMod>(['mod', 'edit', '-json', module.GoMod])
  const staging = given.Replace.filter(({ New }) => New.Path.startsWith('./staging/'))
  const etcd = given.Require.find(({ Path }) => Path === ETCD)
  if (!etcd) throw new Error(`${KUBERNETES} ${version} names no version of ${ETCD}`)
  writeFileSync(
    join(scratch, 'go.mod'),
    [
      'module weir.invalid/kubernetes',
      'go 1.26.0',
      'godebug default=go1.26',
      `require ${KUBERNETES} ${version}`,
      `require ${ETCD} ${etcd.Version}`,
      ...staging.map(({ Old }) => `replace ${Old.Path} => ${Old.Path} v0.${minor[1]}.${minor[2]}`),
      '',
    ].join('\n'),
  )
  for (const name of ['etcd', 'kube-apiserver']) {
    const startedAt = performance.now()
    const target = join(folder, name)
    // Without its version a server takes itself for an unknown release and offers no API of its own.
    const about = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap(
      (path) => [
        `-X ${path}.gitVersion=${version}`,
        `-X ${path}.gitMajor=1`,
        `-X ${path}.gitMinor=${minor[1]}`,
      ],
    )
    const flags = [
      '-mod=mod',
      '-buildvcs=false',
      '-trimpath',
      '-ldflags',
      `-s -w ${about.join(' ')}`,
    ]
    const code = await runCommand(
      'nice',
      ['-n', '19', 'go', 'build', ...flags, '-o', target, `./${name}`],
      {
        cwd: scratch,
        env: { ...process.env, GOTOOLCHAIN: 'local', CGO_ENABLED: '0' },
      },
    )
    if (code !== 0) return code
    console.log(`${target}: ${Math.round((performance.now() - startedAt) / 1000)} s`)
  }
  return 0
}

async function json<T>(args: readonly string[]): Promise<T> {
  const { stdout } = await promisify(execFile)('go', args, { maxBuffer: 16 * 1024 * 1024 })
  return JSON.parse(stdout) as T
}

process.exitCode = await build(process.argv[2] ?? VERSION_DEFAULT)
