/** The backend contract's own kit on the real engine and the default model. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import { describeBackend } from '../../../gateway/contract/conformance/backend.ts';
import { type NativeEngine, native } from '../../../native/binding/index.ts';
import { AdapterFolders } from './adapter_folders.ts';
import { AdapterMetrics } from './adapter_metrics.ts';
import { NativeBackend } from './backend.ts';
import { textDefinitionOfGguf } from './gguf_text.ts';

const golden = fileURLToPath(new URL('../../../gateway/e2e/fixtures/golden/adapters', import.meta.url));
const empty = mkdtempSync(join(tmpdir(), 'colophon-'));
const registry = mkdtempSync(join(tmpdir(), 'colophon-'));
afterAll(() => {
  for (const folder of [empty, registry]) rmSync(folder, { recursive: true, force: true });
});
let engines = 0;
let engine: NativeEngine;

async function create(): Promise<NativeBackend> {
  const path = process.env.COLOPHON_TEST_MODEL;
  if (!path) throw new Error(process.env.COLOPHON_TEST_MODEL_FAULT ?? 'COLOPHON_TEST_MODEL names no model.');
  engine = await native().createEngine({
    model: { format: 'gguf', path },
    kvBytes: 128 << 20,
    adapterBytes: 64 << 20,
  });
  return new NativeBackend({
    engine,
    adapterMetrics: new AdapterMetrics(engine, 10),
    folders: new AdapterFolders([golden, empty]),
    hashFile: (file) => native().hashFile(file),
    onlyFolders: false,
    registryFolder: join(registry, String(++engines)),
    log: { warn: () => {} },
    model: 'base',
    root: path,
    created: 1,
    text: textDefinitionOfGguf(await native().readGgufMetadata(path)),
    maxQueued: 1000,
  });
}

describeBackend('native', {
  create,
  base: 'base',
  adapters: ['qv_pattern', 'qv_r4_dora'],
  prompt: Array.from({ length: 40 }, (_, i) => 500 + i * 37),
  running: () => engine.stats().running + engine.stats().waiting,
  loadable: { name: 'medical-coding', path: join(dirname(dirname(golden)), 'medical-coding', 'adapter') },
  abortWithinMs: 60_000,
  prefixCache: true,
  constrains: true,
  embeds: true,
});
