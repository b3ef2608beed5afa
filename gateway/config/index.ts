/** Reading the configuration. */
export * from './bytes.ts';
export * from './error.ts';
export { type Config, type ConfigSources, loadConfig } from './load.ts';
export * from './paths.ts';
export * from './schema.ts';
export * from './settings.ts';
export { misspeltVariables } from './variables.ts';
