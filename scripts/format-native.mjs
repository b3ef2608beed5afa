/** The C++ half of `npm run format`: clang-format over native/. `--check` only says which files it would change. */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { failWith, root } from './build.mjs';
import { onPath } from './toolchain.mjs';

const tool = [
  'clang-format',
  ...[20, 19, 18, 17, 16, 15, 14].map((version) => `clang-format-${version}`),
].find(onPath);

try {
  if (!tool) {
    process.stderr.write(
      'clang-format is not installed; the C++ files were left as they are. Install it to format them.\n',
    );
    process.exit(process.argv.includes('--check') ? 1 : 0);
  }
  const files = readdirSync(join(root, 'native'), { recursive: true })
    .filter((name) => /\.(cc|h)$/.test(name))
    .map((name) => join(root, 'native', name));
  const mode = process.argv.includes('--check') ? ['--dry-run', '-Werror'] : ['-i'];
  process.exit(spawnSync(tool, [...mode, ...files], { stdio: 'inherit' }).status ?? 1);
} catch (error) {
  failWith(error);
}
