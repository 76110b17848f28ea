/**
 * What the programs take before they hold anything: resident bytes after loading, measured by `npm run costs -- --floor`,
 * which writes this file. Stripping types at start keeps its part, so each program has two.
 */
export const FLOOR_BYTES = Object.freeze({
  library: Object.freeze({ source: 102760448, dist: 78118912 }),
  controller: Object.freeze({ source: 100663296, dist: 81264640 }),
})

export type Program = keyof typeof FLOOR_BYTES

/** The floor of a program in the form that runs now: from source in a checkout, else as built. */
export function floorBytes(program: Program): number {
  return FLOOR_BYTES[program][import.meta.filename.endsWith('.ts') ? 'source' : 'dist']
}
