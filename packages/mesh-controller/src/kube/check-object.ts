/** What the cluster sends as an object is one. */
import { KubeError } from './errors.ts'
import { isJsonObject, type Json } from './json.ts'
import type { KubeObject } from './types.ts'

/** @throws {KubeError} `KUBE_RESPONSE_INVALID` for what has no name. */
export function checkObject(value: Json): KubeObject {
  if (isJsonObject(value)) {
    const metadata = value['metadata']
    if (isJsonObject(metadata) && typeof metadata['name'] === 'string') {
      return value as unknown as KubeObject
    }
  }
  throw new KubeError('KUBE_RESPONSE_INVALID', 'the cluster sent an object without a name', {
    retryable: true,
  })
}
