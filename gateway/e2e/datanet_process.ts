/** A server with the Datanets alone, in a process of its own. */
import { type ServerProcess, startServerProcess } from './server_process.ts';

export type DatanetProcess = ServerProcess;

/** Its data lie in `home`; `config`: sections of the configuration. */
export const startDatanetProcess = (home: string, config: object = {}): Promise<DatanetProcess> =>
  startServerProcess(home, { config, plugin: 'datanet' });
