/**
 * `npm run build`: the addon (cmake-js, to build/Release/colophon.node) and the TypeScript (tsc, to dist/). What is up to
 * date is skipped by a look at the sources' sizes and times, so that `npm start` on a built tree costs milliseconds.
 *
 *   --native | --types   only that half        --force    ignore the stamps        --verbose   all output
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = realpathSync(dirname(dirname(fileURLToPath(import.meta.url))));
export const addon = join(root, 'build', 'Release', 'colophon.node');

/** A failure that is told in one sentence. */
export class BuildError extends Error {}

/** Digest of names, sizes and times of what a build reads: equal when nothing changed. */
function stampOf(entries, keep) {
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${root}\n`);
  const visit = (path) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    if (!stat) return;
    if (stat.isDirectory()) {
      for (const name of readdirSync(path).sort()) visit(join(path, name));
    } else if (keep(path)) {
      hash.update(`${path} ${stat.size} ${stat.mtimeMs}\n`);
    }
  };
  for (const entry of entries) visit(join(root, entry));
  return hash.digest('hex');
}

const nativeStamp = () =>
  stampOf(
    ['CMakeLists.txt', 'native', 'package-lock.json'],
    (path) =>
      /(\.(cc|h)|CMakeLists\.txt|package-lock\.json)$/.test(path) &&
      !/_(test|fuzz|bench)\.cc$|\/testing\//.test(path),
  );

const typesStamp = () =>
  stampOf(
    [
      'gateway',
      'plugins',
      'native/binding',
      'bench',
      'scripts',
      'tsconfig.json',
      'tsconfig.build.json',
      'package-lock.json',
    ],
    (path) => /\.(ts|json)$/.test(path) && !/\.test\.ts$|\/(fixtures|e2e|results)\//.test(path),
  );

function upToDate(stampFile, stamp, product) {
  return existsSync(product) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp;
}

/** Runs a command; its output is kept back unless `verbose`, and returned with its status. */
export function run(command, args, { verbose = false, cwd = root, env = process.env, heartbeat } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: verbose ? 'inherit' : ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text) => {
        output += text;
        heartbeat?.(text);
      });
    }
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ ok: status === 0, status, signal, output }));
  });
}

/** The part of a build's output that says what went wrong: from the first error on, and not more than a screen. */
export function telling(output) {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const first = lines.findIndex((line) => /\berror\b/i.test(line));
  return (first < 0 ? lines.slice(-30) : lines.slice(Math.max(0, first - 2), first + 28)).join('\n');
}

async function buildNative({ verbose, force, say }) {
  const folder = join(root, 'build');
  const stampFile = join(folder, 'colophon.stamp');
  const stamp = nativeStamp();
  if (!force && upToDate(stampFile, stamp, addon)) return false;

  const { checkCmake, checkCompiler, checkMake, checkNode, checkPlatform } = await import('./toolchain.mjs');
  const missing = [checkPlatform(), checkNode(), checkCmake(), checkCompiler(), checkMake()].filter(
    (check) => !check.ok,
  );
  if (missing.length > 0) throw new BuildError(missing.map((check) => check.sentence).join('\n'));

  // A build folder that was configured elsewhere (a copied or moved tree) is of no use to CMake.
  const cache = join(folder, 'CMakeCache.txt');
  if (existsSync(cache) && !readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${root}\n`)) {
    rmSync(folder, { recursive: true });
  }
  const cmakeJs = join(
    dirname(createRequire(import.meta.url).resolve('cmake-js/package.json')),
    'bin',
    'cmake-js',
  );
  const jobs = availableParallelism();
  say(
    existsSync(cache)
      ? 'Building what changed in the engine.'
      : `Building the engine with ${jobs} jobs: the first time takes a few minutes.`,
  );
  const heartbeat = process.stderr.isTTY && !verbose ? progressLine() : undefined;
  const args = [cmakeJs, 'build', '--target', 'colophon', '--parallel', String(jobs)];
  const built = await run(process.execPath, args, { verbose, heartbeat });
  heartbeat?.();
  if (!built.ok || !existsSync(addon)) {
    if (!verbose) process.stderr.write(`${telling(built.output)}\n`);
    throw new BuildError(
      'The engine did not compile: the compiler says why above. See everything with: npm run build -- --verbose',
    );
  }
  writeFileSync(stampFile, stamp);
  return true;
}

/** Shows how far ninja or make is, on one line of the terminal. */
function progressLine() {
  return (text) => {
    const at = text === undefined ? undefined : (/\[\d+\/\d+\]|\[ *\d+%\]/g.exec(text) ?? [])[0];
    if (text === undefined) process.stderr.write('\r\x1b[K');
    else if (at) process.stderr.write(`\r\x1b[K  ${at}`);
  };
}

async function buildTypes({ verbose, force, say }) {
  const folder = join(root, 'dist');
  const stampFile = join(folder, 'colophon.stamp');
  const stamp = typesStamp();
  if (!force && upToDate(stampFile, stamp, join(folder, 'gateway'))) return false;
  say('Compiling the TypeScript.');
  if (force) rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (!existsSync(tsc)) throw new BuildError('The dependencies are not installed. Install them with: npm ci');
  const built = await run(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { verbose });
  if (!built.ok) {
    if (!verbose) process.stderr.write(`${telling(built.output)}\n`);
    throw new BuildError(
      'The TypeScript did not compile: the compiler says why above. Check it with: npm run types',
    );
  }
  await joinFiles('typebox', folder);
  writeFileSync(stampFile, stamp);
  return true;
}

/**
 * Puts a package of many small ES modules into a few files under dist/node_modules, where the compiled code finds it before
 * the package itself: TypeBox is 538 files, a quarter of a second of every start. Without rolldown, which development alone
 * installs and which wants a newer Node 20 than we do, the package is read as it is.
 */
async function joinFiles(name, dist) {
  const source = join(root, 'node_modules', name);
  const folder = join(dist, 'node_modules', name);
  const { version, exports } = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8'));
  const description = join(folder, 'package.json');
  if (existsSync(description) && JSON.parse(readFileSync(description, 'utf8')).version === version) return;
  rmSync(folder, { recursive: true, force: true });
  const bundler = await import('rolldown').catch(() => undefined);
  if (!bundler) return;
  const entries = Object.keys(exports).map((path) => ({
    path,
    file: path === '.' ? 'index' : path.slice(2),
    from: join(source, exports[path].import),
  }));
  const bundle = await bundler.rolldown({
    input: Object.fromEntries(entries.map(({ file, from }) => [file, from])),
    platform: 'node',
  });
  await bundle.write({ dir: folder, format: 'esm' });
  await bundle.close();
  const joined = Object.fromEntries(entries.map(({ path, file }) => [path, `./${file}.js`]));
  writeFileSync(description, JSON.stringify({ name, version, type: 'module', exports: joined }));
}

/**
 * Builds what is out of date.
 * @param {{ native?: boolean, types?: boolean, verbose?: boolean, force?: boolean, say?: (sentence: string) => void }} options
 * @returns {Promise<boolean>} whether anything was built
 */
export async function build({
  native = true,
  types = true,
  verbose = false,
  force = false,
  say = narrate,
} = {}) {
  const options = { verbose, force, say };
  const builtNative = native && (await buildNative(options));
  const builtTypes = types && (await buildTypes(options));
  return builtNative || builtTypes;
}

function narrate(sentence) {
  process.stderr.write(`${sentence}\n`);
}

/** Ends the process with the sentence of a failure; anything unforeseen keeps its stack. */
export function failWith(error) {
  process.stderr.write(`${error instanceof BuildError ? error.message : (error?.stack ?? error)}\n`);
  process.exit(1);
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const flags = new Set(process.argv.slice(2));
  const only = flags.has('--native') || flags.has('--types');
  const began = Date.now();
  build({
    native: !only || flags.has('--native'),
    types: !only || flags.has('--types'),
    verbose: flags.has('--verbose'),
    force: flags.has('--force'),
  })
    .then((built) =>
      narrate(
        built ? `Built in ${((Date.now() - began) / 1000).toFixed(1)} s.` : 'Everything is up to date.',
      ),
    )
    .catch(failWith);
}
