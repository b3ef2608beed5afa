/**
 * `npm start`: builds what is out of date, then is `colophon serve` (arguments are passed on). `npm run dev` adds
 * `--watch`: sources that change are built again and the server restarted.
 */
import { fork } from 'node:child_process';
import { watch } from 'node:fs';
import * as nodeModule from 'node:module';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { BuildError, build, failWith, root } from './build.mjs';

const args = process.argv.slice(2).filter((arg) => arg !== '--watch');

if (process.argv.includes('--watch')) watchAndServe();
else serve().catch(failWith);

async function serve() {
  await build();
  nodeModule.enableCompileCache?.();
  const { main } = await import(pathToFileURL(join(root, 'dist', 'gateway', 'cli', 'main.js')).href);
  process.exitCode = await main(['serve', ...args]);
}

function watchAndServe() {
  let child = startChild();
  let timer;
  let restarting = false;
  let again = false;

  function startChild() {
    // Its own file without --watch: the child builds, then serves.
    const started = fork(fileURLToPath(import.meta.url), args, { stdio: 'inherit' });
    started.on('exit', (code) => {
      if (started === child && !restarting)
        process.stderr.write(`The server ended (exit code ${code}); it starts again when a file changes.\n`);
    });
    return started;
  }

  async function restart() {
    if (restarting) {
      again = true;
      return;
    }
    restarting = true;
    try {
      // Built before the old server ends, so that a typing error costs no outage.
      if (await build()) {
        await ended(child);
        child = startChild();
      }
    } catch (error) {
      process.stderr.write(`${error instanceof BuildError ? error.message : error.stack}\n`);
    }
    restarting = false;
    if (again) {
      again = false;
      await restart();
    }
  }

  for (const folder of ['gateway', 'plugins', 'native']) {
    watch(join(root, folder), { recursive: true }, (_event, file) => {
      if (!file || !/\.(ts|json|cc|h|txt)$/.test(file) || /\.test\.ts$|_test\.cc$/.test(file)) return;
      clearTimeout(timer);
      timer = setTimeout(restart, 150);
    });
  }
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, async () => {
      restarting = true;
      await ended(child);
      process.exit(0);
    });
  }
}

function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', resolve);
    child.kill('SIGTERM');
  });
}
