/**
 * The `weir` command: reads the command line and runs one command to its end.
 *
 * A command returns its code, and what is still open is closed by its scope. What a user can mend is one line on standard
 * error that begins with its code; anything else is a bug and is thrown.
 */
import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { describeError, isWeirError } from '../runtime/index.ts'
import { keygenCommand } from './keygen.ts'
import { planCommand } from './plan.ts'
import { pubCommand } from './pub.ts'
import { subCommand } from './sub.ts'

const EXIT_FAILED = 1
/** A mistake in the command line. */
const EXIT_USAGE = 2

/**
 * Runs the command line.
 *
 * @param argv the arguments after the program's name
 * @returns the exit code
 */
export async function main(argv: readonly string[]): Promise<number> {
  let code = 0
  const done = (given: number) => {
    code = given
  }
  const program = new Command('weir')
    .description('A peer-to-peer mesh with memory as a contract.')
    .version(version(), '--version', 'print the version')
  const commands = [keygenCommand(), planCommand(), pubCommand(done), subCommand(done)]
  for (const command of commands) program.addCommand(command)
  program.allowExcessArguments().action(() => {
    const [unknown] = program.args
    if (unknown !== undefined) program.error(`error: there is no command '${unknown}'`)
    program.help()
  })
  for (const command of [program, ...commands]) {
    command.exitOverride().configureOutput({
      outputError: (text, write) => write(`weir: USAGE: ${text.replace(/^error: /, '')}`),
    })
  }
  try {
    await program.parseAsync(argv, { from: 'user' })
    return code
  } catch (error) {
    // Commander has printed its message already, help and version included.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
    if (!isWeirError(error)) throw error
    console.error(`weir: ${describeError(error)}`)
    return error.code.endsWith('_INVALID') ? EXIT_USAGE : EXIT_FAILED
  }
}

/** The version of the package that this file belongs to, from `src/` and from `dist/` alike. */
function version(): string {
  const manifest = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { version: string }
  return manifest.version
}
