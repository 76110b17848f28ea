/**
 * Runs a scenario once to count its steps, then once for each step with that one failing: every error path is taken, and
 * after each the scenario's own checks (the ledger is empty) must hold.
 */

/** What a failing step throws; the scenario may pass it on, and must not end with anything else. */
export class InjectedFailure extends Error {
  override readonly name = 'InjectedFailure'
  readonly step: string

  constructor(step: string) {
    super(`injected at ${step}`)
    this.step = step
  }
}

/** Called by the scenario before each await or effect that can fail; throws in the run in which it is that one's turn. */
export type Failpoint = (step: string) => void

/**
 * @param scenario must take the same steps in each run; a run may end early when a step failed.
 * @returns how many steps there are
 */
export async function failpointSweep(
  scenario: (failpoint: Failpoint) => Promise<unknown>,
): Promise<number> {
  const steps = await run(scenario, 0)
  for (let failing = 1; failing <= steps; failing++) await run(scenario, failing)
  return steps
}

async function run(
  scenario: (failpoint: Failpoint) => Promise<unknown>,
  failing: number,
): Promise<number> {
  let steps = 0
  let failed = 'no step'
  try {
    await scenario((step) => {
      steps++
      if (steps !== failing) return
      failed = `step ${steps} (${step})`
      throw new InjectedFailure(step)
    })
  } catch (error) {
    if (!(error instanceof InjectedFailure) || failing === 0) {
      throw new Error(`with ${failed} failing the scenario did not hold`, { cause: error })
    }
  }
  if (steps < failing) throw new Error(`step ${failing} was not reached: the runs differ`)
  return steps
}
