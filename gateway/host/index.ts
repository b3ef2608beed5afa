/** Loads plugins and runs their life cycle. */
export * from './host.ts';
export * from './load_plugins.ts';
