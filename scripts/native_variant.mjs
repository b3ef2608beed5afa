/** Builds of the engine beside the addon's: with sanitizers, with fuzz targets. Each has a build folder of its own. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { BuildError, root } from './build.mjs';
import { checkCmake, checkMake, onPath } from './toolchain.mjs';

/** Whether `compiler` builds and links a program with `flags`: a compiler may be there without its run-time libraries. */
export function compiles(compiler, flags, program) {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-compile-'));
  try {
    const source = join(folder, 'try.cc');
    writeFileSync(source, program);
    const args = ['-std=c++20', ...flags, source, '-o', join(folder, 'try')];
    return spawnSync(compiler, args, { stdio: 'ignore', timeout: 60_000 }).status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs a command, its output shown unless `quiet`; resolves with its exit status and the end of its output. */
export function show(command, args, { env = {}, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let tail = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data) => {
        if (!quiet) process.stderr.write(data);
        tail = (tail + data).slice(-50_000);
      });
    }
    const forward = (signal) => child.kill(signal);
    process.once('SIGINT', forward).once('SIGTERM', forward);
    child.on('error', reject);
    child.on('close', (status, signal) => {
      process.off('SIGINT', forward).off('SIGTERM', forward);
      resolve({ status, signal, tail });
    });
  });
}

/** Configures and builds `targets` in the folder `name` below the repository; returns the folder. */
export async function buildVariant(name, { compiler, options, targets }) {
  for (const check of [checkCmake(), checkMake()]) if (!check.ok) throw new BuildError(check.sentence);
  const folder = join(root, name);
  const source = join(root, 'native');
  // A folder that was configured elsewhere (a copied tree) or for another compiler is of no use to CMake.
  const cache = join(folder, 'CMakeCache.txt');
  if (existsSync(cache)) {
    const text = readFileSync(cache, 'utf8');
    const current =
      text.includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${source}\n`) &&
      (!compiler || text.includes(`COLOPHON_VARIANT_COMPILER:UNINITIALIZED=${compiler}\n`));
    if (!current) rmSync(folder, { recursive: true });
  }
  const fresh = !existsSync(cache);
  const configure = [
    ...['-S', source, '-B', folder],
    ...(fresh && onPath('ninja') ? ['-G', 'Ninja'] : []),
    ...(compiler ? [`-DCMAKE_CXX_COMPILER=${compiler}`, `-DCOLOPHON_VARIANT_COMPILER=${compiler}`] : []),
    // -O1: sanitized code is read by people, and -O3 doubles the time to build it. Assertions stay on.
    ...['-DCMAKE_BUILD_TYPE=Debug', '-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g'],
    ...options,
  ];
  for (const args of [
    configure,
    ['--build', folder, '--parallel', String(availableParallelism()), '--target', ...targets],
  ]) {
    const { status } = await show('cmake', args);
    if (status !== 0) throw new BuildError(`Building ${name} failed: the compiler says why above.`);
  }
  return folder;
}
