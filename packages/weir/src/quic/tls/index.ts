export { TlsClient, type TlsClientOptions } from './client.ts'
export { TlsServer, type TlsServerOptions } from './server.ts'
