/**
 * The `weir` command: reads the command line and runs one command to its end.
 *
 * Nothing here calls `process.exit`: a command returns its code and what is still open is closed by its scope.
 */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'

/**
 * Runs the command line.
 *
 * @param argv the arguments after the program's name
 * @returns the exit code
 */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command('weir')
    .description('A peer-to-peer mesh with memory as a contract.')
    .version(version(), '--version', 'print the version')
    .exitOverride()
  program.action(() => {
    program.help()
  })
  try {
    await program.parseAsync(argv, { from: 'user' })
    return 0
  } catch (error) {
    // Commander has printed its message already, help and version included.
    if (error instanceof CommanderError) return error.exitCode
    throw error
  }
}

/** The version of the package that this file belongs to, from `src/` and from `dist/` alike. */
function version(): string {
  const manifest = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { version: string }
  return manifest.version
}
