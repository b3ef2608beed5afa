/** 200 streams cut at random points: afterwards the pages in use are what they were, and the server answers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { until } from '../http/testing.ts';
import { makeAdapters } from './adapters.ts';
import { randomSource } from './engine.ts';
import { startEngineServer } from './server.ts';

const STREAMS = 200;

test('cut streams give their pages back', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-'));
  const names = await makeAdapters(folder, 6);
  const server = await startEngineServer({ COLOPHON_ADAPTER_DIRS: folder });
  const random = randomSource(7);
  try {
    const used = () => server.metric('colophon_engine_kv_pages_used');
    const before = await used();
    const cut = async (i: number, after: number) => {
      const abort = new AbortController();
      const words = 'word '.repeat(1 + (i % 60));
      const request = {
        model: i % 3 === 0 ? server.base : names[i % names.length]!,
        prompt: `${i} ${words}`,
        max_tokens: 4000,
      };
      try {
        if (after < 0) setTimeout(() => abort.abort(), random() * 50);
        const chunks = await server.openai.completions.create(
          { ...request, stream: true, ...({ ignore_eos: true } as object) },
          { signal: abort.signal },
        );
        let seen = 0;
        for await (const _ of chunks) if (seen++ >= after) abort.abort();
        expect(abort.signal.aborted).toBe(true);
      } catch (error) {
        expect(abort.signal.aborted, String(error)).toBe(true);
      }
    };
    // A tenth is cut at a random time, before or while the answer begins; the others after some chunks.
    const points = Array.from({ length: STREAMS }, () => Math.floor(random() * 10) - 1);
    await Promise.all(points.map((after, i) => cut(i, after)));
    await until(async () => (await used()) === before);
    expect(await server.metric('colophon_engine_sequences_running')).toBe(0);
    expect(await server.metric('colophon_engine_sequences_waiting')).toBe(0);
    const answer = await server.openai.completions.create({
      model: server.base,
      prompt: 'The capital of France is',
      temperature: 0,
      max_tokens: 2,
    });
    expect(answer.choices[0]!.text).toContain('Paris');
  } finally {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
}, 900_000);
