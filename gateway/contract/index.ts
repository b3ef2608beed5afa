/** The types that a plugin author sees, errors, forms and an adapter's files. Imports nothing else of the project. */
export * from './adapter_files.ts';
export * from './attribution.ts';
export * from './backend.ts';
export * from './errors.ts';
export * from './form.ts';
export * from './metering.ts';
export * from './plugin.ts';
