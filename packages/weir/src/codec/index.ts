export { ByteWriter, type ByteWriterOptions } from './byte-writer.ts'
export {
  asBuffer,
  compareBytes,
  concatBytes,
  copyBytes,
  equalBytes,
  fromHex,
  toHex,
} from './bytes.ts'
export { decodeCbor, readCborValue } from './cbor-decode.ts'
export { type CborEncodeOptions, encodeCbor, writeCborValue } from './cbor-encode.ts'
export { CborReader } from './cbor-reader.ts'
export {
  type CborDecodeOptions,
  CborFloat,
  type CborLimits,
  type CborObject,
  type CborValue,
} from './cbor-types.ts'
export { CborWriter } from './cbor-writer.ts'
export {
  encodeLimit,
  malformed,
  notCanonical,
  overLimit,
  trailing,
  truncated,
  unencodable,
} from './errors.ts'
export {
  encodeFrame,
  type FrameCharge,
  FrameReader,
  type FrameReaderOptions,
  FrameWriter,
  writeFrameHead,
} from './frame.ts'
export { PostcardReader } from './postcard-reader.ts'
export { PostcardWriter } from './postcard-writer.ts'
export { compareTextKeys, decodeText, utf8Length } from './text.ts'
export { varintLength } from './varint.ts'
