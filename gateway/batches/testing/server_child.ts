/** A server over a mock backend in a process of its own, to be killed. Prints its URL. The folder is COLOPHON_HOME. */
import { pino } from 'pino';
import { loadConfig } from '../../config/index.ts';
import { createMockBackend, mockPlugin } from '../../host/testing/mock_backend.ts';
import { startServer } from '../../main.ts';

const config = loadConfig({ env: { ...process.env, COLOPHON_PORT: '0' } });
const server = await startServer(config, {
  plugins: [mockPlugin(createMockBackend({}))],
  log: pino({ level: 'silent' }),
});
process.stdout.write(`${server.url}\n`);
