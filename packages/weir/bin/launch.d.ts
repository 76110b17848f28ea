/** Types of launch.js, for the sources that import it. */
export declare const NODE_MAJOR_MIN: number
export declare const EXIT_NO_NODE: number
export declare const EXIT_NO_COMMAND: number
export declare const SOURCE_CONDITION: string
export declare function findNode(from: string): string | undefined
export declare function reportNoNode(name: string): void
export declare function runToEnd(
  command: string,
  args: readonly string[],
  onMissing: (error: Error) => number,
): Promise<number>
export declare function launch(program: {
  readonly name: string
  readonly bin: string
  readonly entry: string
}): Promise<void>
