/** The types that a plugin author sees, errors and forms. Imports nothing else of the project. */
export * from './attribution.ts';
export * from './backend.ts';
export * from './errors.ts';
export * from './form.ts';
export * from './plugin.ts';
