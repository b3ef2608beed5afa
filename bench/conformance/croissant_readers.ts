/** Folders that Datanets export, read by mlcroissant: it finds nothing to warn of, and every record. */
import { deepStrictEqual } from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { main as colophon } from '../../gateway/cli/main.ts';
import { startDatanetServer } from '../../plugins/datanet/testing/server.ts';
import { root } from '../lib/checkout.ts';
import { Child } from '../lib/child.ts';
import { pythonTool, setUpPython } from './python_suites.ts';
import { type CaseOutcome, runCases } from './suite.ts';

const rowsOfEach = {
  completion: (i: number) => ({ prompt: `Question ${i} ä😀`, completion: `Answer ${i}` }),
  chat: (i: number) => ({
    messages: [
      { role: 'user', content: `Question ${i} ä😀` },
      { role: 'assistant', content: `Answer ${i}` },
    ],
  }),
};

export async function croissantReaders(folder: string): Promise<CaseOutcome[]> {
  await setUpPython();
  const server = await startDatanetServer();
  const write = process.stdout.write;
  const run = async (...args: string[]) => {
    let printed = '';
    process.stdout.write = ((text: string) => {
      printed += text;
      return true;
    }) as typeof write;
    try {
      if ((await colophon(['datanet', ...args, '--url', server.url, '--json', '-q'])) !== 0)
        throw new Error(`colophon datanet ${args.join(' ')} failed.`);
    } finally {
      process.stdout.write = write;
    }
    return JSON.parse(printed) as { id: string };
  };
  try {
    for (const [kind, row] of Object.entries(rowsOfEach)) {
      await run('create', kind, '--kinds', kind, '--description', `Rows of the kind ${kind}.`);
      for (const name of ['Ada', 'Bo']) {
        const file = join(folder, `${kind}-${name}.jsonl`);
        const rows = Array.from({ length: 500 }, (_, i) => JSON.stringify(row(name === 'Ada' ? i : 500 + i)));
        writeFileSync(file, rows.join('\n'));
        const said = ['--contributor', name, '--licence', name === 'Ada' ? 'CC0-1.0' : 'CC-BY-4.0'];
        const { id } = await run(
          'contribute',
          kind,
          file,
          ...said,
          '--source',
          'own work',
          '--rights',
          'Mine.',
        );
        await run('review', kind, id, '--accept');
      }
      await run('snapshot', kind, '--apart', 'cluster');
      for (const format of ['parquet', 'jsonl'])
        await run('export', kind, join(folder, `${kind}-${format}`), '--format', format);
    }
  } finally {
    await server.close();
  }
  const script = join(root, 'bench', 'conformance', 'croissant_readers.py');
  return runCases(
    ['completion', 'chat'].flatMap((kind) =>
      ['parquet', 'jsonl'].map((format) => ({
        name: `mlcroissant reads ${kind} in ${format}, every record, without a warning`,
        run: async () => {
          const out = join(folder, `${kind}-${format}`);
          const args = [script, join(out, 'croissant.json')];
          const read = JSON.parse(await new Child(pythonTool('python'), args).output(600));
          const entries = readFileSync(join(out, 'provenance.jsonl'), 'utf8').trim().split('\n');
          const hashes: Record<string, string[]> = {};
          for (const { split, hash } of entries.map((line) => JSON.parse(line)))
            hashes[split] = [...(hashes[split] ?? []), hash];
          deepStrictEqual(read, { errors: [], warnings: [], hashes });
        },
      })),
    ),
  );
}
