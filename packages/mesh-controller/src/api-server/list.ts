/**
 * Lists, in pages, written while they are walked: no page is ever held as a whole.
 *
 * A page that follows another one shows the objects as they are now, under the version of the first page: a watch from
 * that version brings what changed between the pages. When the history does not reach back that far, it is 410.
 */
import type { Scope } from 'weir-mesh/runtime'
import { isJsonObject, parseJson } from '../kube/index.ts'
import { listHead, listTail, type RenderOptions, renderItem } from './render.ts'
import type { Selector } from './selectors.ts'
import type { Sender } from './sender.ts'
import { badRequest, expired } from './status.ts'
import type { Store } from './store.ts'

export interface ListPage {
  /** Version that the list shows. */
  readonly revision: number
  /** Key after which it goes on. */
  readonly after: string
  /** Items at most; 0 for all. */
  readonly limit: number
}

const SLICE_CHARS = 64 * 1024
const LIMIT_MAX = 100_000

/** Which page is asked for. @throws {ApiError} 400 for a token that is not ours, 410 for one that is too old. */
export function parsePage(query: URLSearchParams, store: Store, prefix: string): ListPage {
  const limit = Number(query.get('limit') ?? '0')
  if (!Number.isSafeInteger(limit) || limit < 0) {
    throw badRequest(`limit is not a number: ${query.get('limit')?.slice(0, 40)}`)
  }
  const token = query.get('continue')
  if (!token) return { revision: store.revision, after: prefix, limit: Math.min(limit, LIMIT_MAX) }
  const { revision, after } = readToken(token)
  if (!after.startsWith(prefix))
    throw badRequest('continue key is not valid: it is of another list')
  if (revision < store.compacted || revision > store.revision) throw expired()
  return { revision, after, limit: Math.min(limit, LIMIT_MAX) }
}

/** Writes a list; waits for the client as often as it must. */
export async function writeList(
  store: Store,
  prefix: string,
  page: ListPage,
  selector: Selector,
  render: RenderOptions,
  sender: Sender,
  scope: Scope,
): Promise<void> {
  let slice = listHead(render)
  let count = 0
  let last = page.after
  let token: string | undefined
  for (const [key, stored] of store.range(prefix, page.after)) {
    if (!selector.matches(key, stored.text)) {
      last = key
      continue
    }
    if (page.limit > 0 && count === page.limit) {
      token = writeToken(page.revision, last)
      break
    }
    slice += (count === 0 ? '' : ',') + renderItem(render, stored.text)
    count++
    last = key
    if (slice.length >= SLICE_CHARS) {
      await write(sender, slice, scope)
      slice = ''
      if (sender.closed) return
    }
  }
  await write(sender, slice + listTail(String(page.revision), token), scope)
  sender.end()
}

const RETRY_MS = 50
const TRIES_MAX = 200

async function write(sender: Sender, text: string, scope: Scope): Promise<void> {
  await sender.flowing()
  for (let tries = 0; !sender.write(text); tries++) {
    // Other answers hold the shared memory; after ten seconds this one is given up.
    if (tries === TRIES_MAX) return sender.destroy()
    await scope.sleep(RETRY_MS)
    await sender.flowing()
  }
}

function writeToken(revision: number, after: string): string {
  return Buffer.from(JSON.stringify({ rv: revision, after })).toString('base64url')
}

function readToken(token: string): { readonly revision: number; readonly after: string } {
  try {
    const value = parseJson(Buffer.from(token, 'base64url').toString('utf8'))
    if (isJsonObject(value)) {
      const { rv, after } = value
      if (typeof rv === 'number' && typeof after === 'string') return { revision: rv, after }
    }
  } catch {
    // Said below: the token is from somewhere else.
  }
  throw badRequest('continue key is not valid')
}
