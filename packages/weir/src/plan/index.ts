/**
 * What a process needs that only plans: the terms and limits of every folder, and transports before they open.
 *
 * When it is built this is a small file with copies of those functions, where each folder would be loaded whole.
 * The rule that must hold: what stands here is functions and constants, because a class would be there twice.
 */
export { coreTerms } from '../core/index.ts'
export { observeLimits, observeTerms } from '../observe/index.ts'
export { memoryStoreTerms } from '../store/index.ts'
export { syncLimits, syncTerms, wireBytesLeast } from '../sync/index.ts'
export { parseAddress } from '../transport/index.ts'
export { planTransport } from './plan-transport.ts'
