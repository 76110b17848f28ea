/** The kind that the demo is about, and its objects. */
import type { JsonObject, KubeObject, ResourceRef } from '../kube/index.ts'

export const WIDGETS: ResourceRef = Object.freeze({
  group: 'demo.weir.example',
  version: 'v1',
  kind: 'Widget',
  plural: 'widgets',
  namespaced: true,
})

export const NAMESPACE = 'default'

export function widgetDefinition(): JsonObject {
  const column = (name: string, type: string, jsonPath: string) => ({ name, type, jsonPath })
  const properties = {
    spec: {
      type: 'object',
      required: ['size'],
      properties: {
        size: { type: 'integer', minimum: 0 },
        color: { type: 'string', enum: ['red', 'green', 'blue'], default: 'red' },
      },
    },
  }
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${WIDGETS.plural}.${WIDGETS.group}` },
    spec: {
      group: WIDGETS.group,
      scope: 'Namespaced',
      names: { plural: 'widgets', singular: 'widget', kind: 'Widget', shortNames: ['wd'] },
      versions: [
        {
          name: WIDGETS.version,
          served: true,
          storage: true,
          additionalPrinterColumns: [
            column('Size', 'integer', '.spec.size'),
            column('Color', 'string', '.spec.color'),
            column('Zone', 'string', '.metadata.labels.mesh\\.weir/owner-zone'),
            column('Age', 'date', '.metadata.creationTimestamp'),
          ],
          schema: { openAPIV3Schema: { type: 'object', properties } },
        },
      ],
    },
  }
}

export function widget(name: string, spec: JsonObject): KubeObject {
  return {
    apiVersion: `${WIDGETS.group}/${WIDGETS.version}`,
    kind: WIDGETS.kind,
    metadata: { name, namespace: NAMESPACE },
    spec,
  }
}
