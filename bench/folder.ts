/** The folder of one run: keys, kubeconfigs and logs; removed at the end unless the run failed. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = join(import.meta.dirname, '..')
/** What is measured: the compiled controller. */
export const DIST = join(ROOT, 'packages/mesh-controller/dist')
export const CONTROLLER_BIN = join(ROOT, 'packages/mesh-controller/bin/weir-mesh-controller.js')
export const RESULTS = join(import.meta.dirname, 'results')

const WIDGETS = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.demo.weir.example' },
  spec: {
    group: 'demo.weir.example',
    scope: 'Namespaced',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            properties: {
              spec: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
            },
          },
        },
      },
    ],
  },
}

export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), `weir-bench-${process.pid}-`))
  readonly crd = join(this.path, 'widgets.json')

  constructor() {
    writeFileSync(this.crd, JSON.stringify(WIDGETS))
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
