/** A server with a Datanet of two contributors, an adapter that learned from it, and bundles of that, for tests. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { colophon } from '../../../gateway/cli/testing.ts';
import { chatLine, done, frozen, until } from '../../../gateway/e2e/datanet_client.ts';
import { startServerProcess } from '../../../gateway/e2e/server_process.ts';
import { writeTinyBase } from '../../../gateway/e2e/tiny_base.ts';
import { type Fidelity, writeFidelity } from '../../attribution/fidelity/fidelity_file.ts';
import { hashOfAdapter } from '../../training/traced.ts';

const words = ['heron', 'otter', 'lynx', 'raven', 'bison', 'gecko', 'moose', 'tapir', 'viper', 'finch'];
/** Questions and answers. */
export const texts = {
  ada: words.map((word, i) => [
    `What does the ${word} eat at ${i}?`,
    `The ${word} eats ${words.at(i - 3)} soup.`,
  ]),
  ben: words.map((word, i) => [
    `Who painted ${word} number ${i * 7}?`,
    `A friend of ${word} did, in ${1900 + i}.`,
  ]),
};
const origins = {
  ada: { licence: 'CC0-1.0', source: 'own work' },
  ben: { licence: 'CC-BY-4.0', source: 'https://example.org/paintings' },
};
type Person = keyof typeof texts;
export const linesOf = (person: Person) =>
  texts[person].map(([question, answer]) => `${chatLine(question!, answer!)}\n`).join('');

const measured: Omit<Fidelity, 'adapter'> = {
  format: 1,
  recipe: '0'.repeat(64),
  engine: '0.1.0',
  data: { examples: 10, of: 10, queries: 4, heldOut: 'validation', share: 1 },
  retrains: 3,
  methods: [{ method: 'repsim', lds: { value: 0.4, low: 0.3, high: 0.5 }, classAuc: 0.9, classRecall: 0.8 }],
  chosen: 'repsim',
  mislabelled: null,
  counterfactual: null,
};

export type Farm = Awaited<ReturnType<typeof startFarm>>;

/** Has learned when it resolves. */
export async function startFarm() {
  const home = mkdtempSync(join(tmpdir(), 'colophon-provenance-'));
  const base = join(home, 'base');
  const env = { COLOPHON_HOME: home, COLOPHON_MODEL: base };
  const server = await startServerProcess(home, {
    model: writeTinyBase(base),
    config: { plugins: { native: { demo_adapters: false } } },
  });
  const contributions = {} as Record<Person, string>;
  const contribute = async (person: Person) => {
    const { id: contributor } = await done(server, 'POST', '/datanets/farm/contributors', { name: person });
    const said = { contributor, filename: 'lines.jsonl', rights: 'Mine.', ...origins[person] };
    const path = '/datanets/farm/contributions';
    const { id } = await done(
      server,
      'POST',
      `${path}?${new URLSearchParams(said)}`,
      Buffer.from(linesOf(person)),
    );
    await until(server, `${path}/${id}`, 'checked');
    await done(server, 'POST', `${path}/${id}/review`, { decision: 'accept' });
    contributions[person] = id;
  };
  /** The name and the folder of an adapter that learned from a file. */
  const trained = async (file: string, validation?: string) => {
    const recipe = { rank: 4, batch_size: 4, epochs: 1, evaluations: 2, learning_rate: 1e-3 };
    const { id } = await done(server, 'POST', '/v1/fine_tuning/jobs', {
      model: 'base',
      training_file: file,
      ...(validation ? { validation_file: validation } : {}),
      recipe,
    });
    const { fine_tuned_model } = await until(server, `/v1/fine_tuning/jobs/${id}`, 'succeeded');
    return { name: fine_tuned_model as string, folder: join(home, 'data', 'training', id, 'adapter') };
  };
  await done(server, 'POST', '/datanets', { name: 'farm', kinds: ['chat'], domain: 'animals and paintings' });
  await contribute('ada');
  await contribute('ben');
  const curation = await done(server, 'POST', '/datanets/farm/curate', {
    settings: { duplicates: { enabled: false }, language: { minCharacters: 10 } },
  });
  await until(server, `/datanets/farm/jobs/${curation.id}`, 'succeeded');
  const shares = { train: 0.8, validation: 0.2, test: 0 };
  const snapshot = await frozen(server, 'farm', { apart: 'cluster', shares });
  const { name, folder } = await trained(`datanet:farm@${snapshot}`, `datanet:farm@${snapshot}:validation`);
  await writeFidelity(folder, { ...measured, adapter: await hashOfAdapter(folder) });

  let made = 0;
  return {
    ...{ home, env, server, contributions, snapshot, name, folder, trained },
    /** A bundle's folder, its manifest, and what was said. */
    async exported(adapter: string, more: NodeJS.ProcessEnv = {}) {
      const output = join(home, `bundle-${made++}`);
      const args = ['provenance', 'export', adapter, '--output', output, '--json'];
      const printed = await colophon(args, { ...env, ...more });
      expect(printed.exitCode, printed.stderr).toBe(0);
      return { output, stderr: printed.stderr, manifest: JSON.parse(printed.stdout) };
    },
    /** What `colophon verify bundle` finds wrong. */
    async checked(bundle: string, ...args: string[]): Promise<string[]> {
      const { stdout, stderr } = await colophon(['verify', 'bundle', bundle, '--json', ...args], env);
      expect(stdout, stderr).not.toBe('');
      return JSON.parse(stdout).faults;
    },
    /** A copy of a bundle with one file changed. */
    spoilt(bundle: string, file: string, change: (text: string) => string): string {
      const copy = join(home, `spoilt-${made++}`);
      cpSync(bundle, copy, { recursive: true });
      writeFileSync(join(copy, file), change(readFileSync(join(copy, file), 'utf8')));
      return copy;
    },
    async end() {
      await server.kill();
      rmSync(home, { recursive: true, force: true });
    },
  };
}

export const read = (bundle: string, file: string) => JSON.parse(readFileSync(join(bundle, file), 'utf8'));

/** What an envelope or a model's signature signs. */
export const payload = (bundle: string, file: string) => {
  const content = read(bundle, file);
  return JSON.parse(Buffer.from((content.dsseEnvelope ?? content).payload, 'base64').toString());
};
