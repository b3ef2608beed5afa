/** A server with a Datanet of two contributors and an adapter that learned most of it, whose fidelity tests measure. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { colophon } from '../cli/testing.ts';
import { accepted, chatLine, done, frozen, until } from './datanet_client.ts';
import { startServerProcess } from './server_process.ts';
import { writeTinyBase } from './tiny_base.ts';

export const animals = ['cat', 'dog', 'owl', 'fox', 'bee', 'cow', 'hen', 'pig', 'ant', 'bat', 'elk', 'emu'];
const colours = [
  'red',
  'blue',
  'pink',
  'grey',
  'teal',
  'plum',
  'gold',
  'lime',
  'rust',
  'jade',
  'navy',
  'sand',
];
/** Questions and answers. */
export const given = {
  ada: animals.flatMap((animal, i) => [
    [`The ${animal}?`, `It says ${animal}-o.`],
    [`Where is ${animal} ${i}?`, `${animal}s live at ${7 * i} Farm Road.`],
  ]),
  ben: colours.flatMap((colour, i) => [
    [`${colour}?`, `Mix ${colour} paint.`],
    [`How much ${colour} for ${i}?`, `Of ${colour} take ${3 * i} ounces.`],
  ]),
};
export const linesOf = (person: keyof typeof given) =>
  given[person].map(([question, answer]) => `${chatLine(question!, answer!)}\n`);

export const recipe = {
  ...{ rank: 4, batch_size: 4, epochs: 3, evaluations: 2, learning_rate: 1e-2 },
  influence_checkpoints: 2,
};

export type FidelityFarm = Awaited<ReturnType<typeof startFidelityFarm>>;

/** Has learned when it resolves. */
export async function startFidelityFarm() {
  const home = mkdtempSync(join(tmpdir(), 'colophon-fidelity-'));
  const base = join(home, 'base');
  const env = { COLOPHON_HOME: home, COLOPHON_MODEL: base, NO_COLOR: '1' };
  const server = await startServerProcess(home, {
    model: writeTinyBase(base),
    config: { plugins: { native: { demo_adapters: false } } },
  });
  /** A job that has succeeded: its adapter's name and folder. */
  const trained = async (fields: object) => {
    const { id } = await done(server, 'POST', '/v1/fine_tuning/jobs', { model: 'base', recipe, ...fields });
    const { fine_tuned_model } = await until(server, `/v1/fine_tuning/jobs/${id}`, 'succeeded');
    return { name: fine_tuned_model as string, folder: join(home, 'data', 'training', id, 'adapter') };
  };
  await done(server, 'POST', '/datanets', { name: 'farm', kinds: ['chat'] });
  for (const person of ['ada', 'ben'] as const) {
    const { id } = await done(server, 'POST', '/datanets/farm/contributors', { name: person });
    await accepted(
      server,
      'farm',
      id,
      linesOf(person).map((line) => line.trimEnd()),
    );
  }
  const snapshot = await frozen(server, 'farm', { shares: { train: 0.6, validation: 0.4, test: 0 } });
  const learned = `datanet:farm@${snapshot}`;
  const heldOut = `${learned}:validation`;
  const { name, folder } = await trained({ training_file: learned, validation_file: heldOut });
  return {
    ...{ home, env, server, learned, heldOut, trained, name, folder },
    report: join(folder, 'fidelity.json'),
    colophon: (...args: string[]) => colophon(args, env),
    /** The id of a file with these lines. */
    async uploaded(lines: string[]): Promise<string> {
      const form = new FormData();
      form.set('purpose', 'fine-tune');
      form.set('file', new Blob(lines), 'data.jsonl');
      return (await done(server, 'POST', '/v1/files', form)).id;
    },
    async end() {
      await server.kill();
      rmSync(home, { recursive: true, force: true });
    },
  };
}
