export { type Instant, instant, NEVER } from '../runtime/index.ts'
export { Digest } from './digest.ts'
export { type Fold, type Machine, Reentry, type Ticket, Tickets } from './machine.ts'
