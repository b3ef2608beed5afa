/**
 * `npm run test:sanitize`: the native tests under AddressSanitizer with UndefinedBehaviorSanitizer, and under
 * ThreadSanitizer. Any report fails.
 *
 *   --only address|thread   one of the two
 *   --fast                  under thread, only the tests in which threads meet
 *   NAME...                 only tests whose names contain one of these
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BuildError, failWith } from './build.mjs';
import { buildVariant, compiles, show } from './native_variant.mjs';
import { checkCompiler, onPath } from './toolchain.mjs';

const VARIANTS = [
  {
    name: 'address',
    folder: 'build-asan',
    sanitizers: 'address,undefined',
    env: {
      ASAN_OPTIONS: 'detect_stack_use_after_return=1:check_initialization_order=1:strict_string_checks=1',
      UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
    },
  },
  {
    name: 'thread',
    folder: 'build-tsan',
    sanitizers: 'thread',
    env: { TSAN_OPTIONS: 'halt_on_error=1:second_deadlock_stack=1:history_size=4' },
    // What several threads do, without the long comparisons of kernels that one thread at a time runs.
    fast: [
      'thread',
      'constrained',
      'without_its_mask',
      'engine_cancels',
      'engine_keeps',
      'engine_lets',
      'engine_loads',
      'engine_reports',
      'adapter',
    ],
  },
];

function readArguments() {
  let values;
  let positionals;
  try {
    ({ values, positionals } = parseArgs({
      options: { only: { type: 'string' }, fast: { type: 'boolean' } },
      allowPositionals: true,
    }));
  } catch (error) {
    throw new BuildError(
      `${error.message}. Usage: npm run test:sanitize -- [--only address|thread] [--fast] [NAME...]`,
    );
  }
  const variants = VARIANTS.filter(({ name }) => values.only === undefined || values.only === name);
  if (variants.length === 0) throw new BuildError(`--only must be address or thread, not "${values.only}".`);
  return { variants, fast: values.fast === true, wanted: positionals };
}

/** Runs the tests; where the kernel places memory beyond ThreadSanitizer's reach, once more without randomisation. */
async function runTests(program, args, env) {
  const first = await show(program, args, { env });
  if (!/unexpected memory mapping/.test(first.tail) || !onPath('setarch')) return first;
  return show('setarch', ['-R', program, ...args], { env });
}

async function main() {
  const { variants, fast, wanted } = readArguments();
  const compiler = checkCompiler();
  if (!compiler.ok) throw new BuildError(compiler.sentence);
  for (const variant of variants) {
    const { name, folder, sanitizers, env } = variant;
    const named = process.env.CXX ?? 'c++';
    if (!compiles(named, [`-fsanitize=${sanitizers}`], 'int main() { return 0; }\n')) {
      throw new BuildError(
        `The compiler ${named} cannot build with -fsanitize=${sanitizers}: install its sanitizer libraries (libasan, libubsan, libtsan), or name a compiler that has them in CXX.`,
      );
    }
    const options = ['-DCOLOPHON_TESTS=ON', `-DCOLOPHON_SANITIZE=${sanitizers}`];
    const built = await buildVariant(folder, { options, targets: ['native_tests'] });
    const began = Date.now();
    const tests = wanted.length > 0 || !fast ? wanted : (variant.fast ?? []);
    const { status, signal } = await runTests(join(built, 'native_tests'), tests, env);
    if (status !== 0) {
      throw new BuildError(
        `The native tests failed under the ${name} sanitizer (${signal ?? `status ${status}`}); the report is above. Run one with: npm run test:sanitize -- --only ${name} NAME`,
      );
    }
    process.stderr.write(`${name}: passed in ${Math.round((Date.now() - began) / 1000)} s.\n`);
  }
}

main().catch(failWith);
