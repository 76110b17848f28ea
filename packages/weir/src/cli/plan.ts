/** `weir plan`: prints the memory plan of `pub` and `sub`, or of a controller's config. */
import { Command } from 'commander'
import { findMemoryLimit, formatPlan, type Plan } from '../bounds/index.ts'
import { isWeirError, WeirError } from '../runtime/index.ts'
import type { TransportName } from '../transport/index.ts'
import { parseMemory, parseTransport } from './arguments.ts'
import { planOf, planText } from './node-command.ts'

const CONTROLLER = 'weir-mesh-controller/app'

interface ControllerApp {
  planOfConfig(path: string, memory?: string): Promise<Plan>
}

interface Options {
  readonly memory?: string
  readonly config?: string
  readonly transport: TransportName
}

export function planCommand(): Command {
  return new Command('plan')
    .description('Print the memory plan of pub and sub, or of the config of a mesh controller.')
    .option('--memory <size>', 'limit of the process, such as 200Mi', (text: string) => {
      parseMemory(text)
      return text
    })
    .option('--config <file>', 'the config of weir-mesh-controller')
    .option('--transport <name>', 'the transport backend of pub and sub', parseTransport, 'quic')
    .action(async ({ memory, config, transport }: Options) => {
      if (config !== undefined) {
        const { planOfConfig } = await loadController(CONTROLLER)
        console.log(formatPlan(await planOfConfig(config, memory)))
        return
      }
      const limit = findMemoryLimit(memory === undefined ? undefined : parseMemory(memory))
      const { plan } = await planOf({ memoryBytes: limit.bytes, transport })
      console.log(planText(plan, limit))
    })
}

/**
 * The controller, when it is installed.
 *
 * @throws {WeirError} `CONTROLLER_MISSING`
 */
export async function loadController(name: string): Promise<ControllerApp> {
  try {
    return (await import(name)) as ControllerApp
  } catch (error) {
    if (isWeirError(error)) throw error
    throw new WeirError(
      'CONTROLLER_MISSING',
      'a config belongs to the mesh controller, which is not installed here: npm install weir-mesh-controller',
      { cause: error },
    )
  }
}
