/** Types of launch.js, for the sources that import it. */
export const NODE_MAJOR_MIN: number
export const EXIT_NO_NODE: number
export const EXIT_NO_COMMAND: number
export const SOURCE_CONDITION: string
export function findNode(from: string): string | undefined
export function reportNoNode(name: string): void
export function runToEnd(
  command: string,
  args: readonly string[],
  onMissing: (error: Error) => number,
): Promise<number>
export function launch(program: {
  readonly name: string
  readonly bin: string
  readonly entry: string
}): Promise<void>
