/**
 * The one folder of a demo: everything that it writes is below it, and it goes with the demo.
 *
 * Its name carries the pid of its demo, so that a later start can tell which folders have nobody left and removes
 * those. A folder of another user, or a link, is never touched.
 */
import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const NAME = /^weir-demo-(\d{1,10})-\w{6}$/

/** Makes the folder of this process, readable by its user alone. */
export function makeFolder(base: string = tmpdir()): string {
  return mkdtempSync(join(base, `weir-demo-${process.pid}-`)) // mode 0700
}

export function removeFolder(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 3 })
}

/** Removes the folders of demos that were killed. @returns how many. */
export function removeDeadFolders(base: string = tmpdir()): number {
  let removed = 0
  for (const name of readdirSync(base)) {
    const pid = NAME.exec(name)?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    const path = join(base, name)
    if (!isOurs(path)) continue
    removeFolder(path)
    removed++
  }
  return removed
}

function isOurs(path: string): boolean {
  try {
    const found = lstatSync(path)
    return found.isDirectory() && found.uid === process.getuid?.()
  } catch {
    return false // another start was faster
  }
}

/** Whether there is a process with this pid; one that we may not signal exists too. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
