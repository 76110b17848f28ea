/**
 * ChaCha20 and Poly1305 (RFC 8439) as one module of WebAssembly, built here instruction by instruction.
 *
 * Memory: about 5 KB of module, made once.
 */
import { mask, stream } from './chacha-code.ts'
import { absorb, finish, key } from './poly-code.ts'
import { wasmModule } from './wasm.ts'

/** What the module exports. */
export interface ChachaExports {
  readonly memory: { readonly buffer: ArrayBuffer }
  stream(from: number, to: number, end: number): void
  mask(): void
  key(at: number): void
  absorb(at: number, end: number): void
  finish(): void
}

/** The functions, with a memory of so many pages of 64 KiB. */
export const chachaModule = (pages: number): Uint8Array<ArrayBuffer> =>
  wasmModule(pages, [stream(), mask(), key(), absorb(), finish()])
