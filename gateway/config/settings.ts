/** Settings that have an environment variable and a flag, and where they stand in the configuration. */
export interface Setting {
  /** Key in the flags given to loadConfig. */
  key: string;
  environment: string;
  /** Secrets have none: a command line can be read by every user of a machine. */
  flag?: string;
  path: string[];
}

export const settings = [
  { key: 'home', environment: 'COLOPHON_HOME', flag: '--home', path: ['home'] },
  { key: 'host', environment: 'COLOPHON_HOST', flag: '--host', path: ['server', 'host'] },
  { key: 'port', environment: 'COLOPHON_PORT', flag: '--port', path: ['server', 'port'] },
  { key: 'apiKey', environment: 'COLOPHON_API_KEY', path: ['access', 'api_key'] },
  { key: 'logLevel', environment: 'COLOPHON_LOG_LEVEL', flag: '--log-level', path: ['log', 'level'] },
  { key: 'model', environment: 'COLOPHON_MODEL', flag: '--model', path: ['plugins', 'native', 'model'] },
  {
    key: 'adapterDirs',
    environment: 'COLOPHON_ADAPTER_DIRS',
    flag: '--adapter-dir',
    path: ['plugins', 'native', 'adapter_dirs'],
  },
  {
    key: 'threads',
    environment: 'COLOPHON_THREADS',
    flag: '--threads',
    path: ['plugins', 'native', 'threads'],
  },
  { key: 'isa', environment: 'COLOPHON_ISA', flag: '--isa', path: ['plugins', 'native', 'isa'] },
  {
    key: 'precision',
    environment: 'COLOPHON_PRECISION',
    flag: '--precision',
    path: ['plugins', 'native', 'precision'],
  },
  {
    key: 'kvBytes',
    environment: 'COLOPHON_KV_BYTES',
    flag: '--kv-bytes',
    path: ['plugins', 'native', 'kv_bytes'],
  },
  {
    key: 'adapterBytes',
    environment: 'COLOPHON_ADAPTER_BYTES',
    flag: '--adapter-bytes',
    path: ['plugins', 'native', 'adapter_bytes'],
  },
  { key: 'lendMemory', environment: 'COLOPHON_LEND_MEMORY', path: ['plugins', 'native', 'lend_memory'] },
] as const satisfies readonly Setting[];

/** Values of flags, by setting; what is undefined was not given. */
export type ConfigFlags = Partial<
  Record<(typeof settings)[number]['key'], string | number | readonly string[]>
>;
