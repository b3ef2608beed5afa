/** Tokens a second of 64 streams over HTTP, metered and not, in turns on two servers of which one rests. */
import { startColophon } from '../lib/colophon_server.ts';
import { say } from '../lib/main.ts';
import { randomPrompts } from '../lib/random.ts';
import { type CaseResult, caseResult } from '../lib/report.ts';
import { median, percentile } from '../lib/statistics.ts';

const streams = 64;
const tokens = 64;
const promptTokens = 16;

/** Ratios are of neighbouring turns: what else the machine does, it does to both. */
export async function meteringCost(setting: {
  gguf: string;
  threads: number;
  turns: number;
}): Promise<CaseResult> {
  const start = (metering: boolean) =>
    startColophon(
      {
        ...setting,
        adapterFolder: '',
        kvBytes: 2 ** 28,
        adapterBytes: 2 ** 24,
        limit: 180,
        config: `  metering:\n    enabled: ${metering}\n`,
      },
      false,
    );
  const servers = { metered: await start(true), unmetered: await start(false) };
  const rates = { metered: [] as number[], unmetered: [] as number[] };
  try {
    for (let turn = 0; turn <= setting.turns; turn++) {
      const order = (['metered', 'unmetered'] as const).toSorted(() => (turn % 2 === 0 ? 1 : -1));
      for (const name of order) {
        const rate = await round(servers[name].url, turn);
        // The first warms both up.
        if (turn > 0) rates[name].push(rate);
      }
    }
  } finally {
    for (const { child } of Object.values(servers)) child.end();
  }
  const costs = rates.metered.map((rate, turn) => 1 - rate / rates.unmetered[turn]!);
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  say(
    `Metering costs ${percent(median(costs))} of the throughput of ${streams} streams (median of ${costs.length} pairs of turns, ` +
      `half of which are between ${percent(percentile(costs, 0.25))} and ${percent(percentile(costs, 0.75))}).`,
  );
  return caseResult('metering-cost-64', 'tok/s', median(rates.metered), {
    unmetered: median(rates.unmetered),
  });
}

async function round(url: string, seed: number): Promise<number> {
  const prompts = randomPrompts({ count: streams, tokens: promptTokens, vocabulary: 49_000, seed });
  const begin = performance.now();
  const counts = await Promise.all(
    prompts.map(async (prompt) => {
      const response = await fetch(`${url}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'base',
          prompt,
          max_tokens: tokens,
          ignore_eos: true,
          temperature: 0,
          stream: true,
          stream_options: { include_usage: true },
        }),
      });
      const text = await response.text();
      return Number(/"completion_tokens":(\d+)/.exec(text)?.[1] ?? 0);
    }),
  );
  const seconds = (performance.now() - begin) / 1000;
  return counts.reduce((sum, count) => sum + count, 0) / seconds;
}
