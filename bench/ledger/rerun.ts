/** Seconds from a receipt's file to the finding that its tokens come out the same: the command that an auditor types. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../lib/checkout.ts';
import { startColophon } from '../lib/colophon_server.ts';
import { type CaseResult, caseResult } from '../lib/report.ts';
import { median } from '../lib/statistics.ts';

const tokens = 128;

export async function rerunSeconds(setting: {
  gguf: string;
  threads: number;
  repeats: number;
}): Promise<CaseResult> {
  const folder = mkdtempSync(join(tmpdir(), 'colophon-bench-'));
  try {
    await keepReceipt(setting, folder);
    const seconds: number[] = [];
    for (let i = 0; i < setting.repeats; i++) {
      const begin = performance.now();
      const child = spawn(
        process.execPath,
        [
          ...[
            join(root, 'scripts', 'colophon.mjs'),
            'verify',
            'receipt',
            join(folder, 'receipt.json'),
            '--rerun',
          ],
          ...['--opening', join(folder, 'opening.json'), '--keys', join(folder, 'keys.json')],
        ],
        {
          stdio: ['ignore', 'ignore', 'inherit'],
          env: { ...process.env, COLOPHON_MODEL: setting.gguf, COLOPHON_HOME: folder },
        },
      );
      const [code] = await once(child, 'exit');
      if (code !== 0) throw new Error('The receipt does not hold.');
      seconds.push((performance.now() - begin) / 1000);
    }
    return caseResult('verify-rerun-seconds', 's', median(seconds), {});
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Of an answer of so many tokens. */
async function keepReceipt(
  { gguf, threads }: { gguf: string; threads: number },
  folder: string,
): Promise<void> {
  const { child, url } = await startColophon(
    { gguf, threads, adapterFolder: '', kvBytes: 2 ** 28, adapterBytes: 2 ** 24, limit: 180 },
    false,
  );
  try {
    const response = await fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        model: 'base',
        prompt: 'The code of',
        max_tokens: tokens,
        ignore_eos: true,
        temperature: 1,
      }),
    });
    const { id } = (await response.json()) as { id: string };
    const files = {
      'receipt.json': `/v1/receipts/${id}`,
      'opening.json': `/v1/receipts/${id}/opening`,
      'keys.json': '/ledger/keys',
    };
    for (const [name, path] of Object.entries(files))
      writeFileSync(join(folder, name), await (await fetch(url + path)).text());
  } finally {
    child.end();
    await child.exited;
  }
}
