/**
 * What opens an endpoint. Loaded when the first one opens: a process that only plans would read a quarter of a megabyte
 * of source for it.
 */
export { tlsSecurity } from './security.ts'
export { openQuicEndpoint } from './shell/quic-endpoint.ts'
