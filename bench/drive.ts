/** Sends what a scenario asks for, at its pace. */
import { sleep } from './children.ts'

/** Runs `send` for 0 to `count` - 1, `perSecond` apart, or as fast as `parallel` of them at once allow. */
export async function drive(
  count: number,
  pace: { readonly perSecond: number } | { readonly parallel: number },
  send: (at: number) => Promise<unknown>,
): Promise<void> {
  let next = 0
  const worker = async () => {
    for (let at = next++; at < count; at = next++) await send(at)
  }
  if ('parallel' in pace) {
    await Promise.all(Array.from({ length: pace.parallel }, worker))
    return
  }
  const running: Promise<unknown>[] = []
  const from = performance.now()
  for (let at = 0; at < count; at++) {
    const dueMs = (at * 1000) / pace.perSecond - (performance.now() - from)
    if (dueMs > 1) await sleep(dueMs)
    const sent = send(at)
    sent.catch(() => {}) // it is told at the end, with those of the others
    running.push(sent)
  }
  await Promise.all(running)
}
