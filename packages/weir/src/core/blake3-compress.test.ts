import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'

const file = new URL('./blake3-compress.ts', import.meta.url)

/** First eight words of the SHA-256 constants, BLAKE3 paper section 2.2. */
const iv = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a]
const permutation = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
/** Columns, then diagonals of the state. */
const mixes = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
]

/** The source of `blake3-compress.ts`: seven rounds without loops, so that every word stays in a register. */
function generate(): string {
  const lines: string[] = []
  const line = (text: string) => lines.push(`  ${text}`)
  const rotate = (target: number, other: number, bits: number) =>
    line(
      `v${target} = ((v${target} ^ v${other}) >>> ${bits}) | ((v${target} ^ v${other}) << ${32 - bits})`,
    )
  for (let at = 0; at < 16; at++) line(`const m${at} = block.getInt32(offset + ${at * 4}, true)`)
  for (let at = 0; at < 8; at++) line(`let v${at} = cv[${at}]!`)
  iv.forEach((word, at) => {
    line(`let v${at + 8} = ${word | 0}`)
  })
  line('let v12 = counterLow')
  line('let v13 = counterHigh')
  line('let v14 = blockLength')
  line('let v15 = flags')
  let schedule = Array.from({ length: 16 }, (_, at) => at)
  for (let round = 0; round < 7; round++) {
    mixes.forEach((mix, at) => {
      const [a, b, c, d] = mix as [number, number, number, number]
      line(`v${a} = (v${a} + v${b} + m${schedule[at * 2]}) | 0`)
      rotate(d, a, 16)
      line(`v${c} = (v${c} + v${d}) | 0`)
      rotate(b, c, 12)
      line(`v${a} = (v${a} + v${b} + m${schedule[at * 2 + 1]}) | 0`)
      rotate(d, a, 8)
      line(`v${c} = (v${c} + v${d}) | 0`)
      rotate(b, c, 7)
    })
    schedule = permutation.map((from) => schedule[from]!)
  }
  for (let at = 0; at < 8; at++) line(`cv[${at}] = v${at} ^ v${at + 8}`)
  return `/** BLAKE3's compression function, unrolled; \`blake3-compress.test.ts\` generates it. */
export function compress(
  cv: Int32Array,
  block: DataView,
  offset: number,
  counterLow: number,
  counterHigh: number,
  blockLength: number,
  flags: number,
): void {
${lines.join('\n')}
}
`
}

test('the checked-in compression function is what the generator makes', () => {
  const wanted = generate()
  if (process.env.WEIR_GENERATE === '1') writeFileSync(file, wanted)
  assert.equal(readFileSync(file, 'utf8'), wanted)
})
