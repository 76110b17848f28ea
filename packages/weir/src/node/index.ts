export {
  type AcceptCaps,
  AcceptLoop,
  type AcceptLoopOptions,
  type ProtocolHandler,
  REFUSED_CLOSE_CODE,
} from './accept-loop.ts'
export { readKeyFile, writeKeyFile } from './key-file.ts'
export { type AcceptLimits, type AcceptTerms, acceptTerms } from './memory.ts'
export { Node, type NodeOptions } from './node.ts'
export { type NodePlan, type NodePlanOptions, planNode } from './plan.ts'
