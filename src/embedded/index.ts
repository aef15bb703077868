/** The public list of `mikro-tenantkit/embedded`. Nothing inside imports it. */
export { removeEmbedded, startEmbedded, type EmbeddedOptions, type EmbeddedServer } from './start-embedded.ts'
export { EmbeddedInUseError, EmbeddedUnavailableError, EmbeddedVersionMismatchError } from './errors.ts'
