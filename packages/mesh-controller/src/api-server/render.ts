/** Stored objects in the form that a client asked for: as they are, as table rows, or only their metadata. */
import { type JsonObject, stringifyJson } from '../kube/index.ts'
import { apiVersionOf, type Kind } from './kind.ts'
import type { Form } from './negotiate.ts'
import { parseObject, textIn } from './object-rules.ts'
import type { ChangeType } from './store.ts'
import { columnDefinitions, type IncludeObject, partialOf, rowOf, tableOf } from './table.ts'

export interface RenderOptions {
  readonly kind: Kind
  readonly form: Form
  readonly include: IncludeObject
  wallMs(): number
}

/** One object, from its stored text. */
export function renderObject(options: RenderOptions, text: string): string {
  const { kind, form } = options
  const own = textIn(kind, text)
  if (form.as === 'table') {
    const object = parseObject(own)
    const row = rowOf(kind, object, options.include, options.wallMs())
    return stringifyJson(tableOf([row], versionOf(object), columnDefinitions(kind)))
  }
  if (form.as === 'partial') return stringifyJson(partialOf(parseObject(own)))
  return own
}

/** An item of a list. */
export function renderItem(options: RenderOptions, text: string): string {
  const { kind, form } = options
  const own = textIn(kind, text)
  if (form.as === 'table') {
    return stringifyJson(rowOf(kind, parseObject(own), options.include, options.wallMs()))
  }
  if (form.as === 'partial') return stringifyJson(partialOf(parseObject(own)))
  return own
}

/** What stands before the items of a list. */
export function listHead(options: RenderOptions): string {
  const { kind, form } = options
  if (form.as === 'table') {
    const definitions = stringifyJson(columnDefinitions(kind))
    return `{"kind":"Table","apiVersion":"meta.k8s.io/v1","columnDefinitions":${definitions},"rows":[`
  }
  if (form.as === 'partial') {
    return '{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":['
  }
  return `{"apiVersion":"${apiVersionOf(kind)}","kind":"${kind.listKind}","items":[`
}

/** What stands after the items of a list. */
export function listTail(resourceVersion: string, token: string | undefined): string {
  const metadata = { ...(token === undefined ? {} : { continue: token }), resourceVersion }
  return `],"metadata":${stringifyJson(metadata)}}\n`
}

/** A line of a watch. `first` says whether a table still has to name its columns. */
export function renderChange(
  options: RenderOptions,
  type: ChangeType,
  text: string,
  first: boolean,
): string {
  const { kind, form } = options
  if (form.as !== 'table') return `{"type":"${type}","object":${renderObject(options, text)}}\n`
  const object = parseObject(textIn(kind, text))
  const row = rowOf(kind, object, options.include, options.wallMs())
  const table = tableOf([row], versionOf(object), first ? columnDefinitions(kind) : [])
  return `${stringifyJson({ type, object: table })}\n`
}

/** A line that only says how far the watch has come. */
export function renderBookmark(
  options: RenderOptions,
  resourceVersion: string,
  endOfInitial: boolean,
): string {
  const { kind, form } = options
  const metadata: JsonObject = {
    resourceVersion,
    ...(endOfInitial ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
  }
  const object =
    form.as === 'table'
      ? tableOf([{ cells: [], object: { metadata } }], resourceVersion, [])
      : form.as === 'partial'
        ? { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata }
        : { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata }
  return `${stringifyJson({ type: 'BOOKMARK', object })}\n`
}

function versionOf(object: JsonObject): string {
  const metadata = object['metadata'] as JsonObject | undefined
  return String(metadata?.['resourceVersion'] ?? '')
}
