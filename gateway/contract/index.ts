/** The types that a plugin author sees. Imports nothing else of the project. */
export * from './backend.ts';
export * from './errors.ts';
export * from './plugin.ts';
