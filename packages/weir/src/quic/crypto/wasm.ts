/**
 * As much of a WebAssembly assembler as `chacha-module` needs (core specification 2.0, binary format).
 *
 * Code is a tree of bytes, flattened once; what takes operands has them before its opcode, so that code is written as
 * expressions.
 *
 * Memory: nothing is kept.
 */
export type Code = number | readonly Code[]

export const I32 = 0x7f
export const I64 = 0x7e
export const V128 = 0x7b

export const get = (local: number): Code => [0x20, unsigned(local)]
export const set = (local: number, value: Code): Code => [value, 0x21, unsigned(local)]

export const i32 = (value: number): Code => [0x41, signed(BigInt(value))]
export const i64 = (value: bigint): Code => [0x42, signed(value)]
/** Four 32-bit lanes, of which the first is given and the others are 0. */
export const firstLane = (value: number): Code => [0xfd, 0x0c, value, new Array(15).fill(0)]

/** An instruction of two operands. */
const binary =
  (...opcode: readonly number[]) =>
  (a: Code, b: Code): Code => [a, b, opcode]

export const add32 = binary(0x6a)
export const below32 = binary(0x49)
export const add64 = binary(0x7c)
export const multiply64 = binary(0x7e)
export const and64 = binary(0x83)
export const or64 = binary(0x84)
export const xor64 = binary(0x85)
export const left64 = binary(0x86)
export const rightSigned64 = binary(0x87)
export const right64 = binary(0x88)
/** 1 or 0, as 64 bits. */
export const below64 = binary(0x54, 0xad)
export const addLanes = binary(0xfd, 0xae, 0x01)
export const xorLanes = binary(0xfd, 0x51)
export const orLanes = binary(0xfd, 0x50)
export const leftLanes = binary(0xfd, 0xab, 0x01)
export const rightLanes = binary(0xfd, 0xad, 0x01)
/** The bytes of a vector in another order. */
export const shuffle = (a: Code, order: readonly number[]): Code => [a, a, 0xfd, 0x0d, order]

/** An access says how its address is aligned: not at all. The address is an expression and a constant. */
const load =
  (...opcode: readonly number[]) =>
  (at: Code, offset = 0): Code => [at, opcode, 0, unsigned(offset)]
const store =
  (...opcode: readonly number[]) =>
  (at: Code, offset: number, value: Code): Code => [at, value, opcode, 0, unsigned(offset)]

export const load32 = load(0x28)
export const load64 = load(0x29)
/** 32 bits, as 64. */
export const load32as64 = load(0x35)
export const loadLanes = load(0xfd, 0x00)
export const store32 = store(0x36)
export const store64 = store(0x37)
export const storeLanes = store(0xfd, 0x0b)

/** Does what `body` says, and again while `condition` is not 0. */
export const loop = (body: Code, condition: Code): Code => [
  [0x03, 0x40],
  body,
  condition,
  [0x0d, 0x00, 0x0b],
]

export interface WasmFunction {
  readonly name: string
  /** Types of the parameters, which are the first locals. All return nothing. */
  readonly parameters: readonly number[]
  readonly locals: readonly number[]
  readonly body: Code
}

/** A module that exports its functions, and its memory of a fixed size as `memory`. */
export function wasmModule(
  pages: number,
  functions: readonly WasmFunction[],
): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters }) => [0x60, list(parameters), 0x00])
  const exported = functions.map(({ name }, index) => [text(name), 0x00, index])
  const bodies = functions.map(({ locals, body }) =>
    sized([list(locals.map((type) => [1, type])), body, 0x0b]),
  )
  const module: Code = [
    [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    section(1, list(types)),
    section(3, list(functions.map((_, index) => index))),
    section(5, [1, 0x01, unsigned(pages), unsigned(pages)]),
    section(7, list([[text('memory'), 0x02, 0x00], ...exported])),
    section(10, list(bodies)),
  ]
  return Uint8Array.from(flat(module))
}

const section = (id: number, body: Code): Code => [id, sized(body)]
const list = (items: readonly Code[]): Code => [unsigned(items.length), items]
const text = (name: string): Code => list([...name].map((letter) => letter.charCodeAt(0)))

function sized(body: Code): Code {
  const bytes = flat(body)
  return [unsigned(bytes.length), bytes]
}

function flat(code: Code, bytes: number[] = []): number[] {
  if (typeof code === 'number') bytes.push(code)
  else for (const part of code) flat(part, bytes)
  return bytes
}

/** LEB128. */
function unsigned(value: number): Code {
  return value < 128 ? value : [(value & 127) | 128, unsigned(value >>> 7)]
}

function signed(value: bigint): Code {
  const low = Number(value & 127n)
  const rest = value >> 7n
  const last = (rest === 0n && low < 64) || (rest === -1n && low >= 64)
  return last ? low : [low | 128, signed(rest)]
}
