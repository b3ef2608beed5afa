/**
 * `npm test`: the native tests, then everything of vitest (which fetches the default model once). The last line sums both:
 * "N passed, N failed". Further arguments go to vitest.
 *
 *   --native-only   only the native tests
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { BuildError, build, failWith, root, run, telling } from './build.mjs';
import { onPath } from './toolchain.mjs';

const args = process.argv.slice(2);
const nativeOnly = args.includes('--native-only');
const vitestArgs = args.filter((arg) => arg !== '--native-only');
const total = { passed: 0, failed: 0 };

/** Runs with its output on the terminal, and gives it as well. */
function show(command, commandArgs, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, commandArgs, { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      process.stdout.write(text);
    });
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, output }));
  });
}

function heading(text) {
  process.stdout.write(`\n== ${text}\n`);
}

/** Configures and builds the target `native_tests` in a folder of its own or, where there is one, beside the addon. */
async function buildNativeTests(folder, options) {
  const generator = existsSync(join(folder, 'CMakeCache.txt')) || !onPath('ninja') ? [] : ['-G', 'Ninja'];
  const configure = ['-S', root, '-B', folder, ...generator, '-DCOLOPHON_TESTS=ON', ...options];
  for (const step of [
    configure,
    ['--build', folder, '--target', 'native_tests', '--parallel', String(availableParallelism())],
  ]) {
    const ran = await run('cmake', step);
    if (ran.ok) continue;
    process.stderr.write(`${telling(ran.output)}\n`);
    throw new BuildError('The native tests did not compile: the compiler says why above.');
  }
  const found = ['native/native_tests', 'native_tests'].map((name) => join(folder, name)).find(existsSync);
  if (!found) throw new BuildError(`The native tests are not in ${folder} after the build.`);
  return found;
}

async function runNativeTests(folder, options, title) {
  heading(title);
  const ran = await show(await buildNativeTests(folder, options), []);
  const sums = /(\d+) passed, (\d+) failed\s*$/.exec(ran.output);
  if (sums) {
    total.passed += Number(sums[1]);
    total.failed += Number(sums[2]);
  }
  if (!sums || (ran.status !== 0 && Number(sums[2]) === 0)) {
    total.failed++;
    process.stdout.write(`The native tests ended with ${ran.signal ?? `exit code ${ran.status}`}.\n`);
  }
}

/** The AVX-512 kernels run on other machines too where SIMDe spells their instructions in plain C. */
function emulatesAvx512() {
  if (process.arch !== 'x64') return false;
  const header = ['/usr/include', '/usr/local/include', '/opt/homebrew/include'].some((folder) =>
    existsSync(join(folder, 'simde', 'x86', 'avx512.h')),
  );
  if (!header) return false;
  const cpu = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  return !/\bavx512_vnni\b/.test(cpu);
}

async function runVitest() {
  heading('TypeScript');
  const report = join(tmpdir(), `colophon-vitest-${process.pid}.json`);
  const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
  const ran = await show(process.execPath, [
    vitest,
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...vitestArgs,
  ]);
  if (existsSync(report)) {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8'));
    rmSync(report);
    total.passed += numPassedTests;
    total.failed += numFailedTests;
    // A file that cannot even be read, or an error outside any test.
    if (ran.status !== 0 && numFailedTests === 0) total.failed++;
  } else {
    total.failed++;
  }
}

try {
  await build({ types: !nativeOnly });
  await runNativeTests(join(root, 'build'), [], 'Native');
  if (emulatesAvx512()) {
    await runNativeTests(join(root, 'build-simde'), ['-DCOLOPHON_SIMDE=ON'], 'Native, with AVX-512 in SIMDe');
  }
  if (!nativeOnly) await runVitest();
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
  process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
} catch (error) {
  if (error instanceof BuildError)
    process.stdout.write(`\n${error.message}\n${total.passed} passed, ${total.failed + 1} failed\n`);
  else failWith(error);
  process.exitCode = 1;
}
