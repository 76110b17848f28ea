/**
 * Gives free pages of the native heap back to the system.
 *
 * V8 compiles in pieces that come and go by the megabyte. What lives longer comes to lie between them, and `free` gives
 * back only what reaches the end of the heap: after a burst 4 to 10 MB stay resident although nobody holds them. glibc
 * gives them back when it is asked to, by `malloc_trim(3)`, and `node:ffi` (in Node from 26 on, experimental) can ask.
 * Where either is missing, as on macOS, musl or Node 24, nothing happens.
 *
 * Memory: one function of the C library.
 */
import { isBuiltin } from 'node:module'

type Trim = (padBytes: bigint) => number

let found: Trim | false | undefined

/**
 * Takes 2 to 11 ms after a burst. The first call makes Node print a warning about an experimental feature, unless it
 * runs with `--disable-warning=ExperimentalWarning`, as the launcher starts it.
 *
 * @returns false where the allocator cannot be asked.
 */
export function trimNativeHeap(): boolean {
  found ??= findTrim() ?? false
  if (found === false) return false
  found(0n)
  return true
}

function findTrim(): Trim | undefined {
  if (process.platform !== 'linux' || !isBuiltin('node:ffi')) return undefined
  try {
    const definitions = { malloc_trim: { arguments: ['uint64'], return: 'int32' } } as const
    return process.getBuiltinModule('node:ffi').dlopen(null, definitions).functions.malloc_trim
  } catch {
    return undefined // another C library, which has no such function
  }
}
