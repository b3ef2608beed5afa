/** `colophon serve` in a process of its own, with a home that is removed when the bench ends. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './checkout.ts';
import { Child } from './child.ts';
import { freePort } from './free_port.ts';
import { untilHealthy } from './streams.ts';

export interface ServerSetting {
  gguf: string;
  /** Folder whose sub-folders are adapters. */
  adapterFolder: string;
  threads: number;
  kvBytes: number;
  adapterBytes: number;
  /** Seconds that the start may take. */
  limit: number;
  /** Lines of the config file more. */
  config?: string;
}

const homes: string[] = [];
process.on('exit', () => {
  for (const home of homes) rmSync(home, { recursive: true, force: true });
});

/** Resolves when it is ready. The base's name is "base". `asUser`: by the command that a user types. */
export async function startColophon(
  setting: ServerSetting,
  asUser: boolean,
): Promise<{ child: Child; url: string }> {
  const home = mkdtempSync(join(tmpdir(), 'colophon-bench-'));
  writeFileSync(
    join(home, 'colophon.yaml'),
    `plugins:\n  native:\n    model_name: base\n    demo_adapters: false\n${setting.config ?? ''}`,
  );
  const port = await freePort();
  const [command, ...args] = asUser
    ? ['npm', '--silent', 'start']
    : [process.execPath, join(root, 'scripts', 'colophon.mjs'), 'serve'];
  const child = new Child(command!, args, {
    cwd: root,
    narrates: true,
    env: {
      COLOPHON_HOME: home,
      COLOPHON_MODEL: setting.gguf,
      COLOPHON_ADAPTER_DIRS: setting.adapterFolder,
      COLOPHON_HOST: '127.0.0.1',
      COLOPHON_PORT: String(port),
      COLOPHON_THREADS: String(setting.threads),
      COLOPHON_KV_BYTES: String(setting.kvBytes),
      COLOPHON_ADAPTER_BYTES: String(setting.adapterBytes),
      COLOPHON_API_KEY: undefined,
      COLOPHON_LOG_LEVEL: 'error',
    },
  });
  homes.push(home);
  const url = `http://127.0.0.1:${port}`;
  await untilHealthy(`${url}/health`, setting.limit, () => child.assertRunning());
  return { child, url };
}
