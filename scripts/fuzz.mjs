/**
 * `npm run fuzz`: the parsers of foreign files under libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer.
 *
 *   --seconds N   how long each target runs (20)      --long   600 seconds each
 *   NAME...       only the targets whose name contains one of these, e.g. gguf
 *
 * What is found stays in build-fuzz/crashes; the corpus in build-fuzz/corpus grows from run to run.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { BuildError, failWith, root } from './build.mjs';
import { buildVariant, compiles, show } from './native_variant.mjs';
import { onPath } from './toolchain.mjs';

const SANITIZERS = 'address,undefined';
const PROGRAM =
  '#include <cstddef>\n#include <string>\nextern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) ' +
  '{ return std::string(data, data + size) == "never"; }\n';

/** The first clang++ that has libFuzzer and the sanitizers. */
function findClang() {
  const newestFirst = Array.from({ length: 12 }, (_, i) => `clang++-${23 - i}`);
  const there = ['clang++', ...newestFirst].filter(onPath);
  const flags = [`-fsanitize=fuzzer,${SANITIZERS}`];
  const found = there.find((compiler) => compiles(compiler, flags, PROGRAM));
  if (found) return found;
  if (there.length === 0) {
    throw new BuildError(
      'Fuzzing needs clang, which is missing. Install clang and its compiler-rt, e.g. with: apt-get install -y clang-14 libclang-rt-14-dev',
    );
  }
  const version = /-(\d+)$/.exec(there[0])?.[1];
  const packages = version ? `clang-${version} libclang-rt-${version}-dev` : 'clang libclang-rt-dev';
  throw new BuildError(
    `${there[0]} cannot link a fuzz target: libFuzzer or its standard library is missing. Install them, e.g. with: apt-get install -y ${packages} g++`,
  );
}

function targetsOf(wanted) {
  const all = readdirSync(join(root, 'native'), { recursive: true })
    .filter((path) => path.endsWith('_fuzz.cc'))
    .map((path) => basename(path, '.cc'))
    .sort();
  const targets = all.filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
  if (targets.length > 0) return targets;
  throw new BuildError(`No fuzz target's name contains ${wanted.join(' or ')}; there are ${all.join(', ')}.`);
}

function readArguments() {
  let values;
  let positionals;
  try {
    ({ values, positionals } = parseArgs({
      options: { seconds: { type: 'string' }, long: { type: 'boolean' } },
      allowPositionals: true,
    }));
  } catch (error) {
    throw new BuildError(`${error.message}. Usage: npm run fuzz -- [--seconds N | --long] [NAME...]`);
  }
  const seconds = Number(values.seconds ?? (values.long ? 600 : 20));
  if (!Number.isInteger(seconds) || seconds < 1) {
    throw new BuildError(`--seconds must be a whole number of seconds from 1, not "${values.seconds}".`);
  }
  return { seconds, wanted: positionals };
}

/** Runs one target; returns a sentence where it found something. */
async function fuzz(folder, name, seconds) {
  const corpus = join(folder, 'corpus', name);
  const seeds = join(folder, 'seeds', name);
  const crashes = join(folder, 'crashes');
  for (const path of [corpus, seeds, crashes]) mkdirSync(path, { recursive: true });
  const program = join(folder, name);
  const { status, signal, tail } = await show(
    program,
    [
      `-max_total_time=${seconds}`,
      `-artifact_prefix=${join(crashes, name)}-`,
      // Files of a few KiB reach every branch; a parser that takes 10 s or 1 GiB for one has a fault.
      ...[
        '-max_len=8192',
        '-timeout=10',
        '-rss_limit_mb=1024',
        '-print_final_stats=1',
        '-verbosity=0',
        '-use_value_profile=1',
      ],
      ...[corpus, seeds],
    ],
    {
      quiet: true,
      env: {
        COLOPHON_FUZZ_SEEDS: seeds,
        UBSAN_OPTIONS: 'print_stacktrace=1',
        ASAN_OPTIONS: 'detect_stack_use_after_return=1',
      },
    },
  );
  const inputs = /number_of_executed_units: *(\d+)/.exec(tail)?.[1] ?? '?';
  process.stderr.write(
    `${name}: ${inputs} inputs ${status === 0 ? `in ${seconds} s, nothing found` : 'tried'}\n`,
  );
  if (status === 0) return undefined;
  if (/libFuzzer: run interrupted/.test(tail))
    throw new BuildError(`${name} was interrupted after ${inputs} inputs.`);
  process.stderr.write(tail);
  const kept = readdirSync(crashes).filter((file) => file.startsWith(`${name}-`));
  const path = (file) => relative(root, join(crashes, file));
  const again = kept.length > 0 ? ` Run it again with: ${relative(root, program)} ${path(kept.at(-1))}` : '';
  return `${name} failed (${signal ?? `status ${status}`}); the report is above, the inputs are ${kept.map(path).join(', ') || 'not kept'}.${again}`;
}

async function main() {
  const { seconds, wanted } = readArguments();
  const targets = targetsOf(wanted);
  const compiler = findClang();
  const options = ['-DCOLOPHON_FUZZERS=ON', `-DCOLOPHON_SANITIZE=${SANITIZERS}`];
  const folder = await buildVariant('build-fuzz', { compiler, options, targets });
  const found = [];
  for (const name of targets) found.push(await fuzz(folder, name, seconds));
  const sentences = found.filter((sentence) => sentence !== undefined);
  if (sentences.length > 0) throw new BuildError(sentences.join('\n'));
}

main().catch(failWith);
