/**
 * A server killed (SIGKILL) at random moments of what a Datanet does. Whatever the moment, the next start goes on: what was
 * promised is there and whole, nothing is there by half, and what comes out equals what an undisturbed run gives. A hundred
 * kills in the full form.
 */
import { createHash, randomInt } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type DatanetProcess, startDatanetProcess } from './datanet_process.ts';
import { full } from './engine.ts';

const kills = full ? 100 : 6;
const rows = 3_000;
const word = 'Xylograph';
const file = Buffer.from(
  Array.from({ length: rows }, (_, at) =>
    // One row of a hundred is refused.
    at % 100 === 7
      ? `{broken ${word} ${at}\n`
      : `${JSON.stringify({
          messages: [
            { role: 'user', content: `What is ${word} ${at}?` },
            { role: 'assistant', content: `It is number ${at}. ${'So it is. '.repeat(at % 20)}` },
          ],
        })}\n`,
  ).join(''),
);
const sha256 = createHash('sha256').update(file).digest('hex');

/** What a run has found so far; each phase goes on from whatever is there. */
interface Run {
  server: DatanetProcess;
  contributor: string;
  contribution?: string;
  job?: string;
  snapshot?: string;
}

/** `run`: does it, from wherever an earlier attempt was cut. A phase that a job does ends when the job does. */
interface Phase {
  name: string;
  run(run: Run): Promise<void>;
}

const phases: Phase[] = [
  {
    name: 'import',
    async run(run) {
      const there = (await run.server.ask('GET', '/datanets/farm/contributions')).body.data;
      expect(there.length).toBeLessThanOrEqual(1);
      // One that was answered is there; one that was cut is there as a whole, or not at all.
      if (run.contribution !== undefined) expect(there[0].id).toBe(run.contribution);
      if (there.length === 0) {
        const query = new URLSearchParams({
          contributor: run.contributor,
          filename: 'rows.jsonl',
          licence: 'CC0-1.0',
          source: 'own work',
          rights: 'Mine.',
        });
        const given = await run.server.ask('POST', `/datanets/farm/contributions?${query}`, file);
        expect(given.status, JSON.stringify(given.body)).toBe(200);
        there.push(given.body);
      }
      expect(there[0]).toMatchObject({ sha256, bytes: file.length });
      run.contribution = there[0].id;
    },
  },
  {
    name: 'check',
    async run(run) {
      const checked = await ended(run, `/contributions/${run.contribution}`, ['checked', 'accepted']);
      expect(checked).toMatchObject({ rows, refused: rows / 100 });
      const { body } = await run.server.ask(
        'POST',
        `/datanets/farm/contributions/${run.contribution}/review`,
        {
          decision: 'accept',
        },
      );
      expect(body.state).toBe('accepted');
    },
  },
  {
    name: 'snapshot',
    async run(run) {
      if (run.job === undefined) {
        const { status, body } = await run.server.ask('POST', '/datanets/farm/snapshots', {});
        expect(status).toBe(200);
        run.job = body.id;
      }
      const { report } = await ended(run, `/jobs/${run.job}`, ['succeeded']);
      const { body } = await run.server.ask('GET', '/datanets/farm/snapshots');
      expect(body.data.map(({ id }: { id: string }) => id)).toEqual([report.snapshot]);
      expect(body.data[0].counts.examples).toBe(rows - rows / 100);
      run.snapshot = report.snapshot;
    },
  },
];

/** Not before the id of the snapshot is known: it takes the texts away. */
const withdrawal: Phase = {
  name: 'withdrawal',
  async run(run) {
    const { body } = await run.server.ask(
      'POST',
      `/datanets/farm/contributions/${run.contribution}/withdraw`,
      {},
    );
    expect(body.state).toBe('withdrawn');
  },
};

async function ended({ server }: Run, path: string, states: string[]) {
  for (;;) {
    const { body } = await server.ask('GET', `/datanets/farm${path}`);
    if (states.includes(body.state)) return body;
    if (['failed', 'cancelled'].includes(body.state)) throw new Error(JSON.stringify(body));
    await sleep(20);
  }
}

async function begin(home: string): Promise<Run> {
  const server = await startDatanetProcess(home);
  expect((await server.ask('POST', '/datanets', { name: 'farm' })).status).toBe(200);
  const contributor = (await server.ask('POST', '/datanets/farm/contributors', { name: 'Ada' })).body.id;
  return { server, contributor };
}

const filesIn = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** Every blob is what its name says, and there is nothing unfinished. */
function expectWhole(home: string): void {
  const blobs = join(home, 'data', 'datanets', 'blobs');
  expect(existsSync(blobs)).toBe(true);
  for (const path of filesIn(blobs)) {
    expect(createHash('sha256').update(readFileSync(path)).digest('hex'), path).toBe(basename(path));
  }
}

const hasWord = (home: string) =>
  filesIn(join(home, 'data')).some((path) => readFileSync(path).includes(word));

async function withHome(use: (home: string) => Promise<void>): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'colophon-kill-'));
  try {
    await use(home);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** Runs a phase and kills the server so many ms after it began; its own failure from that is no failure. */
async function killIn(run: Run, phase: Phase, after: number): Promise<void> {
  const cut = phase.run(run).catch((error) => {
    // fetch's own, of a connection that broke; everything else is a finding.
    if (!(error instanceof TypeError) && !(error instanceof SyntaxError)) throw error;
  });
  await Promise.race([sleep(after), cut]);
  await run.server.kill();
  await cut;
}

test(
  `${kills} kills: what was promised is there, and all comes out as if there had been none`,
  async () => {
    const all = [...phases, withdrawal];
    const took = new Map<string, number>();
    let undisturbed: string | undefined;
    await withHome(async (home) => {
      const run = await begin(home);
      for (const phase of all) {
        const from = performance.now();
        await phase.run(run);
        took.set(phase.name, performance.now() - from);
      }
      undisturbed = run.snapshot;
      expect(hasWord(home)).toBe(false);
      await run.server.kill();
    });
    expect(undisturbed).toMatch(/^[0-9a-f]{64}$/);

    for (let kill = 0; kill < kills; kill++) {
      const victim = all[kill % all.length]!;
      await withHome(async (home) => {
        const run = await begin(home);
        try {
          for (const phase of all) {
            if (phase === victim) {
              await killIn(run, phase, randomInt(1 + Math.ceil(took.get(phase.name)! * 1.1)));
              run.server = await startDatanetProcess(home);
            }
            await phase.run(run);
            if (phase.name === 'snapshot') {
              expect(run.snapshot, `killed in ${victim.name}`).toBe(undisturbed);
              expectWhole(home);
            }
          }
          expect(hasWord(home), `killed in ${victim.name}`).toBe(false);
          expectWhole(home);
        } finally {
          await run.server.kill();
        }
      });
    }
  },
  full ? 3_600_000 : 300_000,
);
