/** Which form of an answer a client wants, from its Accept header. */
import { notAcceptable } from './status.ts'

export type Form =
  | { readonly as: 'object' }
  | { readonly as: 'table' }
  | { readonly as: 'partial' }
  | { readonly as: 'discovery'; readonly version: 'v2' | 'v2beta1' }

const OBJECT: Form = Object.freeze({ as: 'object' })
const CLAUSES_MAX = 16

/**
 * The first form in the header that is served; without a header, plain JSON.
 *
 * @throws {ApiError} 406 when none is.
 */
export function negotiate(accept: string | undefined): Form {
  if (accept === undefined || accept.trim() === '') return OBJECT
  for (const clause of accept.split(',', CLAUSES_MAX)) {
    const [type = '', ...parameters] = clause.split(';').map((part) => part.trim())
    if (!['application/json', 'application/*', '*/*'].includes(type.toLowerCase())) continue
    const value = (name: string) =>
      parameters.find((parameter) => parameter.startsWith(`${name}=`))?.slice(name.length + 1)
    const as = value('as')
    if (as === undefined) return OBJECT
    if (as === 'Table' && value('g') === 'meta.k8s.io' && value('v') === 'v1') {
      return { as: 'table' }
    }
    if (as.startsWith('PartialObjectMetadata') && value('v') === 'v1') return { as: 'partial' }
    const version = value('v')
    if (as === 'APIGroupDiscoveryList' && (version === 'v2' || version === 'v2beta1')) {
      return { as: 'discovery', version }
    }
  }
  throw notAcceptable()
}
