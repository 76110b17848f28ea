export { abortable, abortError, onAbort, throwIfAborted, withTimeout } from './abort.ts'
export { Backoff, type BackoffOptions } from './backoff.ts'
export {
  addMs,
  type Clock,
  type Instant,
  instant,
  msBetween,
  NEVER,
  systemClock,
  type Timer,
} from './clock.ts'
export { Counter, Counters } from './counters.ts'
export {
  AssertionError,
  assert,
  describeError,
  isWeirError,
  type LimitDetail,
  WeirError,
  type WeirErrorOptions,
} from './errors.ts'
export { makePrivateFolder } from './folder.ts'
export { Heartbeat, Heartbeats } from './heartbeats.ts'
export { createLogger, type LogFields, type Logger, type LogLevel, silentLogger } from './log.ts'
export { ManualClock } from './manual-clock.ts'
export { type Random, seededRandom, systemRandom } from './random.ts'
export { isCloseError, type Owned, Scope, type ScopeOptions, type Task } from './scope.ts'
export { TaskGroup, type TaskGroupOptions } from './task-group.ts'
