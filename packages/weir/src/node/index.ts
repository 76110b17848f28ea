export {
  AcceptLoop,
  type AcceptLoopOptions,
  CLOSE_REFUSED,
  type ProtocolHandler,
} from './accept-loop.ts'
export { readKeyFile, writeKeyFile } from './key-file.ts'
