#!/usr/bin/env node
/** The `colophon` command: hands over to the compiled command line. */
import { existsSync } from 'node:fs';
import * as nodeModule from 'node:module';

const entry = new URL('../dist/gateway/cli/main.js', import.meta.url);
if (!existsSync(entry)) {
  process.stderr.write('Colophon is not built yet. Build it with: npm run build\n');
  process.exit(1);
}
nodeModule.enableCompileCache?.();
const { main } = await import(entry.href);
process.exitCode = await main(process.argv.slice(2));
