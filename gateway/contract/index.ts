/** The types that a plugin author sees, errors, forms, an adapter's files and how whole units are split. Imports nothing else of the project. */
export * from './adapter_files.ts';
export * from './apportion.ts';
export * from './attribution.ts';
export * from './backend.ts';
export * from './errors.ts';
export * from './form.ts';
export * from './metering.ts';
export * from './plugin.ts';
