/**
 * `npm run lock`: fills the gaps of package-lock.json; to be run after each `npm install`.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './files.ts'
import { complete, gapsOf, type Lock } from './lock.ts'

const path = join(ROOT, 'package-lock.json')
const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock
const gaps = gapsOf(lock)
if (gaps.length > 0) writeFileSync(path, `${JSON.stringify(complete(lock), null, 2)}\n`)
console.log(`package-lock.json: ${gaps.length} entries added.`)
