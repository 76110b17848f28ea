/** What a path of the API means. */

export type Route =
  | { readonly at: 'document'; readonly path: string }
  | {
      readonly at: 'resource'
      readonly group: string
      readonly version: string
      readonly plural: string
      /** Empty for a cluster-scoped kind, and for a list over all namespaces. */
      readonly namespace: string
      /** Empty for the collection. */
      readonly name: string
      readonly subresource: string
    }

const SEGMENTS_MAX = 10

/** @returns undefined for a path that is no path of ours. */
export function parseRoute(path: string): Route | undefined {
  const segments: string[] = []
  for (const part of path.split('/', SEGMENTS_MAX + 2).slice(1)) {
    const segment = decode(part)
    if (segment === undefined) return undefined
    segments.push(segment)
  }
  if (segments.at(-1) === '') segments.pop()
  if (segments.length > SEGMENTS_MAX || segments.includes('')) return undefined
  const [root, ...rest] = segments
  const core = root === 'api'
  if (!core && root !== 'apis') return { at: 'document', path: `/${segments.join('/')}` }
  const [first = '', ...afterFirst] = rest
  const group = core ? '' : first
  const version = core ? first : (afterFirst[0] ?? '')
  const tail = core ? afterFirst : afterFirst.slice(1)
  if (tail.length === 0) return { at: 'document', path: `/${segments.join('/')}` }
  return resourceRoute(group, version, tail)
}

function resourceRoute(group: string, version: string, tail: readonly string[]): Route | undefined {
  const [first = '', second = '', third = '', fourth = '', fifth = ''] = tail
  const ofNamespace = first === 'namespaces' && tail.length === 3 && third === 'status'
  if (first === 'namespaces' && tail.length >= 3 && !ofNamespace) {
    if (tail.length > 5) return undefined
    return {
      at: 'resource',
      group,
      version,
      namespace: second,
      plural: third,
      name: fourth,
      subresource: fifth,
    }
  }
  if (tail.length > 3) return undefined
  return {
    at: 'resource',
    group,
    version,
    namespace: '',
    plural: first,
    name: second,
    subresource: third,
  }
}

function decode(part: string): string | undefined {
  try {
    const text = decodeURIComponent(part)
    // A separator inside a name would name another object.
    return text.includes('/') ? undefined : text
  } catch {
    return undefined
  }
}
