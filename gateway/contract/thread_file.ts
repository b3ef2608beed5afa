/** Where the code of a thread, or of a process of its own, is. */
import { existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(import.meta.dirname, '..', '..');

/**
 * `name`, beside the module with the URL `beside`. Compiled: Node 20 starts neither from TypeScript. Tests, which are not compiled,
 * take what the build has made.
 */
export function threadFile(beside: string, name: string): string {
  const folder = dirname(fileURLToPath(beside));
  const compiled = join(folder, `${name}.js`);
  return existsSync(compiled) ? compiled : join(root, 'dist', relative(root, folder), `${name}.js`);
}
