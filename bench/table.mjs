/**
 * Puts saved results into the pages that show them, between `<!-- table: NAME -->` and `<!-- /table -->`.
 * `node bench/table.mjs` writes; with `--check` it only says whether a page is out of date.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const pages = ['README.md', 'docs/performance.md', 'docs/attribution.md'];

/** More peers than fit a page's width have a line each. */
const mostColumns = 8;

const number = (value) => {
  if (value === undefined) return '';
  const shown = Number(value.toPrecision(value >= 1000 ? 4 : 3));
  return shown.toLocaleString('en-US', { maximumFractionDigits: shown < 0.01 ? 8 : 3 });
};

/** A report (bench/lib/report.ts) as a Markdown table, with where it was measured. */
export function markdownTable(report) {
  const peers = [...new Set(report.cases.flatMap((entry) => Object.keys(entry.peers)))];
  const lines = (peers.length > mostColumns ? byPeer : byCase)(report.cases, peers);
  const { cpu, cores, isa = [], memory_bytes: memory } = report.machine;
  const vectors = isa.includes('avx512f') ? 'AVX-512' : isa.includes('avx2') ? 'AVX2' : '';
  const where = [cpu, `${cores} cores`, vectors, memory && `${Math.round(memory / 2 ** 30)} GiB`]
    .filter(Boolean)
    .join(', ');
  return [...lines, '', `${where}; ${report.date.slice(0, 10)}, commit ${report.commit}.`].join('\n');
}

function byPeer(cases, peers) {
  const line = (name, value) => `| ${[name, ...cases.map(value)].join(' | ')} |`;
  return [
    line('', (entry) => `\`${entry.case}\` (${entry.unit})`),
    `|---|${cases.map(() => '--:|').join('')}`,
    line('**Colophon**', (entry) => `**${number(entry.ours)}**`),
    ...peers.map((peer) =>
      line(peer, (entry) => (entry.peers[peer] === undefined ? '–' : number(entry.peers[peer]))),
    ),
  ];
}

function byCase(cases, peers) {
  const cell = (entry, peer) =>
    entry.peers[peer] === undefined
      ? '–'
      : `${number(entry.peers[peer])}${entry.ratios[peer] === undefined ? '' : ` (${number(entry.ratios[peer])}×)`}`;
  return [
    `| case | unit | Colophon | ${peers.join(' | ')} |`,
    `|---|---|--:|${peers.map(() => '--:|').join('')}`,
    ...cases.map(
      (entry) =>
        `| \`${entry.case}\` | ${entry.unit} | **${number(entry.ours)}** | ${peers.map((peer) => cell(entry, peer)).join(' | ')} |`,
    ),
  ];
}

/** The page with its tables renewed; where a result is not there yet, its place stays empty. */
export function withTables(page, results) {
  return page.replace(/(<!-- table: ([\w-]+) -->\n)[\s\S]*?(<!-- \/table -->)/g, (_all, begin, name, end) => {
    const report = results(name);
    return report ? `${begin}${markdownTable(report)}\n${end}` : `${begin}${end}`;
  });
}

/** A saved result of this checkout. */
export function savedResult(name) {
  const file = join(root, 'bench', 'results', `${name}.json`);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let stale = 0;
  for (const page of pages) {
    const before = readFileSync(join(root, page), 'utf8');
    const after = withTables(before, savedResult);
    if (after === before) continue;
    stale++;
    if (process.argv.includes('--check'))
      process.stdout.write(`${page} is out of date. Renew it with: node bench/table.mjs\n`);
    else writeFileSync(join(root, page), after);
  }
  if (process.argv.includes('--check') && stale > 0) process.exitCode = 1;
}
