/** The pages say what is true: their links lead somewhere, their tables are the saved results, their names exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { settings } from '../gateway/config/index.ts';

interface Tables {
  savedResult(name: string): object | undefined;
  withTables(page: string, results: (name: string) => object | undefined): string;
}

const pages = ['README.md', ...readdirSync('docs').map((name) => `docs/${name}`)];
const read = (page: string) => readFileSync(page, 'utf8');
const scripts = (JSON.parse(read('package.json')) as { scripts: Record<string, string> }).scripts;

describe.each(pages)('%s', (page) => {
  it('has links that lead somewhere', () => {
    for (const [, target] of read(page).matchAll(/\]\(([^)#\s]+)[^)]*\)/g)) {
      if (!/^https?:/.test(target!)) expect(existsSync(join(dirname(page), target!)), target).toBe(true);
    }
  });

  it('names scripts that exist', () => {
    for (const [, script] of read(page).matchAll(/npm run (?:-s )?([\w:-]+)/g))
      expect(scripts).toHaveProperty([script!]);
  });

  it('shows the saved results', async () => {
    const { savedResult, withTables } = (await import('../bench/table.mjs' as string)) as Tables;
    expect(withTables(read(page), savedResult) === read(page), 'renew it with: node bench/table.mjs').toBe(
      true,
    );
  });
});

it('every setting is documented, in the page and in the shipped file', () => {
  const operations = read('docs/operations.md');
  const shipped = read('config/colophon.yaml');
  for (const { environment } of settings) {
    expect(operations).toContain(`\`${environment}\``);
    expect(shipped).toContain(`[${environment}]`);
  }
});

it('every script that package.json names is there', () => {
  for (const command of Object.values(scripts)) {
    for (const [file] of command.matchAll(/scripts\/[\w-]+\.mjs/g)) expect(existsSync(file), file).toBe(true);
  }
});

it('a table has every case, and leaves a peer out where it has none', async () => {
  const { withTables } = (await import('../bench/table.mjs' as string)) as Tables;
  const report = {
    date: '2026-01-02T03:04:05Z',
    commit: 'abc',
    machine: { cpu: 'CPU', cores: 2, isa: ['avx2'], memory_bytes: 2 ** 33 },
    cases: [
      { case: 'a', unit: 'tok/s', ours: 1234.5, peers: { x: 100, y: 7 }, ratios: { x: 12.3, y: 176 } },
      { case: 'b', unit: 'ms', ours: 2, peers: { y: 3 }, ratios: { y: 1.5 } },
    ],
  };
  const text = withTables('<!-- table: t -->\nold\n<!-- /table -->', () => report);
  expect(text).toContain('| `a` | tok/s | **1,235** | 100 (12.3×) | 7 (176×) |');
  expect(text).toContain('| `b` | ms | **2** | – | 3 (1.5×) |');
  expect(text).toContain('CPU, 2 cores, AVX2, 8 GiB; 2026-01-02, commit abc.');
  expect(text).not.toContain('old');
});

it('a table of many peers has a line for each', async () => {
  const { withTables } = (await import('../bench/table.mjs' as string)) as Tables;
  const names = Array.from({ length: 9 }, (_, i) => `peer-${i}`);
  const report = {
    date: '2026-01-02T03:04:05Z',
    commit: 'abc',
    machine: { cpu: 'CPU', cores: 2, memory_bytes: 2 ** 33 },
    cases: [
      {
        case: 'a',
        unit: 's',
        ours: 0.000123,
        peers: Object.fromEntries(names.map((name) => [name, 1])),
        ratios: {},
      },
      { case: 'b', unit: 'AUC', ours: 0.5, peers: { 'peer-1': 0.25 }, ratios: {} },
    ],
  };
  const text = withTables('<!-- table: t -->\n<!-- /table -->', () => report);
  expect(text).toContain('|  | `a` (s) | `b` (AUC) |');
  expect(text).toContain('| **Colophon** | **0.000123** | **0.5** |');
  expect(text).toContain('| peer-0 | 1 | – |');
  expect(text).toContain('| peer-1 | 1 | 0.25 |');
});
