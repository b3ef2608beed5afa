/** Python packages that a bench needs: installed once into an environment in the cache folder. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../../gateway/models/index.ts';
import { Child } from './child.ts';
import { say } from './main.ts';

/** Seconds that installing may take. */
const limit = 3600;

export class PythonEnvironment {
  readonly #folder: string;
  readonly packages: readonly string[];

  constructor(name: string, packages: readonly string[]) {
    this.#folder = join(cacheFolder(), name);
    this.packages = packages;
  }

  /** A program of the environment, once it is set up. */
  tool(name: string): string {
    return join(this.#folder, 'bin', name);
  }

  /** Installs what is not there yet. */
  async setUp(): Promise<void> {
    const done = join(this.#folder, 'colophon-packages');
    const wanted = this.packages.join('\n');
    if (existsSync(done) && readFileSync(done, 'utf8') === wanted) return;
    say(`Installing ${this.packages.join(', ')} ...`);
    mkdirSync(this.#folder, { recursive: true });
    await new Child('python3', ['-m', 'venv', this.#folder]).output(limit);
    await new Child(this.tool('python'), [
      ...['-m', 'pip', 'install', '--disable-pip-version-check', '-q'],
      ...this.packages,
    ]).output(limit);
    writeFileSync(done, wanted);
  }
}
