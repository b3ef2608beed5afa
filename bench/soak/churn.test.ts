/** The soak's short form: every answer is right whatever comes and goes beside it. No timing and no memory here. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startEngineServer } from '../../gateway/e2e/server.ts';
import { smol } from '../../plugins/backends/native/testing/shapes.ts';
import { churn } from './churn.ts';

test('answers beside loads, unloads, replacements, swaps and cuts are those of solo runs', async () => {
  const work = mkdtempSync(join(tmpdir(), 'colophon-'));
  const adapterFolder = join(work, 'served');
  const server = await startEngineServer({
    COLOPHON_ADAPTER_DIRS: adapterFolder,
    COLOPHON_ADAPTER_BYTES: String(4 << 20),
    COLOPHON_KV_BYTES: String(64 << 20),
  });
  try {
    let end = Number.POSITIVE_INFINITY;
    const report = await churn({
      url: server.url,
      base: server.base,
      shape: smol,
      work,
      adapterFolder,
      ranks: [1, 3],
      contentsPerRank: 3,
      prompts: 4,
      names: 3,
      clients: 8,
      changers: 2,
      seed: 1,
      done: () => {
        if (end === Number.POSITIVE_INFINITY) end = Date.now() + 10_000;
        return Date.now() > end;
      },
    });
    expect(report.wrong).toEqual([]);
    expect(report.answers).toBeGreaterThan(0);
    expect(report.loads + report.unloads + report.replacements + report.swaps).toBeGreaterThan(0);
  } finally {
    await server.close();
    rmSync(work, { recursive: true, force: true });
  }
});
