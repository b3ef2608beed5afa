/** `npm run bench -- NAME`: runs bench/NAME/run.mjs or run.ts; without a name, lists them. Results go to bench/results. */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build, failWith, root } from './build.mjs';

const [name, ...args] = process.argv.slice(2);
const compiled = join(root, 'dist', 'bench');
const entryOf = (bench) =>
  [join(root, 'bench', bench, 'run.mjs'), join(compiled, bench, 'run.js')].find(existsSync);
const known = () =>
  readdirSync(join(root, 'bench'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .filter((bench) => ['run.mjs', 'run.ts'].some((file) => existsSync(join(root, 'bench', bench, file))));

try {
  if (!name || !known().includes(name)) {
    process.stderr.write(
      `${name ? `There is no bench "${name}".` : 'Name a bench.'} There are: ${known().join(', ') || 'none'}.\n`,
    );
    process.exit(2);
  }
  await build();
  const child = spawn(process.execPath, ['--enable-source-maps', entryOf(name), ...args], {
    cwd: root,
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  child.on('exit', (code, signal) => process.exit(code ?? (signal ? 1 : 0)));
} catch (error) {
  failWith(error);
}
