/** What an adapter's folder says of itself: its files, its recipe, how its training went, what it was trained on. */
import { createReadStream, existsSync } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TSchema, Type } from 'typebox';
import { Value } from 'typebox/value';
import { CliError } from '../../../gateway/cli/failure.ts';
import { adapterHash, type CorpusHead, corpusFile } from '../../../gateway/contract/index.ts';
import { type Fidelity, readFidelity } from '../../attribution/fidelity/fidelity_file.ts';
import { digestOf, type RecipeFile } from '../../training/adapter.ts';
import type { DataRecord } from '../../training/inputs.ts';
import type { JobRecord } from '../../training/job.ts';
import type { LogRow } from '../../training/run.ts';
import { wrongFiles } from '../../training/verify.ts';

const logFile = 'training_log.jsonl';

const Data = Type.Object({
  file: Type.String(),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  examples: Type.Integer(),
});
/** What is read of a recipe.json, which may have come from anywhere. */
const Recipe = Type.Object({
  name: Type.String(),
  job: Type.String(),
  base: Type.String(),
  base_hash: Type.String({ pattern: '^[0-9a-f]{64}$' }),
  engine: Type.String(),
  step: Type.Integer(),
  recipe: Type.Object({}),
  data: Type.Object({ training: Data, validation: Type.Union([Data, Type.Null()]) }),
});
const Corpus = Type.Object({ adapter: Type.String(), source: Type.String(), examples: Type.Integer() });
/** Of a corpus; no source is named longer. */
const longestHead = 64 * 1024;

export interface FileFact {
  /** Within the folder, with slashes. */
  name: string;
  /** Hex. */
  sha256: string;
  bytes: number;
}

/** A file of examples that it learned from, or that was held out. */
export interface UsedData {
  role: 'training' | 'validation';
  /** An uploaded file's id, or "datanet:NAME@SNAPSHOT". */
  file: string;
  datanet: string | null;
  snapshot: string | null;
  /** Of its bytes, hex; null: not known, as of all that only an adapter's corpus says. */
  sha256: string | null;
  examples: number;
}

export interface LogFacts {
  steps: number;
  first: LogRow;
  last: LogRow;
  /** The step whose checkpoint it is. */
  kept: LogRow | undefined;
}

export interface AdapterFacts {
  name: string;
  folder: string;
  contentHash: string;
  /** By name. */
  files: FileFact[];
  config: Record<string, unknown>;
  /** `sha256`: of the weights' file; of several, over the SHA-256 of each. Null: only its name is known. */
  base: { name: string; sha256: string | null };
  /** Null: it was not trained here, and nothing more is known of how it was made. */
  recipe: RecipeFile | null;
  log: LogFacts | null;
  /** When it was asked for and done, Unix seconds; null where its job's record is not beside it. */
  job: { createdAt: number; finishedAt: number | null } | null;
  data: UsedData[];
  /** Null: nobody has measured it. */
  fidelity: Fidelity | null;
}

/** Reads all of it. `name`: how it was asked for. Throws CliError where a file is not what its training left, or cannot be read. */
export async function adapterFacts(folder: string, name: string): Promise<AdapterFacts> {
  const trained = existsSync(join(folder, 'recipe.json'));
  const wrong = trained ? await wrongFiles(folder) : [];
  if (wrong.length > 0)
    throw new CliError(
      [`The adapter in ${folder} is not what its training left:`, ...wrong.map((one) => `  ${one}`)].join(
        '\n',
      ),
    );
  const files = await filesOf(folder);
  const digest = (file: string) => {
    const found = files.find((one) => one.name === file);
    if (!found) throw new CliError(`There is no adapter in ${folder}: it has no ${file}.`);
    return Buffer.from(found.sha256, 'hex');
  };
  const contentHash = adapterHash(digest('adapter_config.json'), digest('adapter_model.safetensors'));
  const config = await readJson<Record<string, unknown>>(join(folder, 'adapter_config.json'));
  const recipe = trained ? await readJson<RecipeFile>(join(folder, 'recipe.json'), Recipe) : null;
  return {
    name: recipe?.name ?? basename(name),
    folder,
    contentHash,
    files,
    config,
    base: {
      name: recipe?.base ?? String(config.base_model_name_or_path ?? 'unknown'),
      sha256: recipe?.base_hash ?? null,
    },
    recipe,
    log: recipe && (await readLog(join(folder, logFile), recipe.step)),
    job: recipe && (await jobOf(folder, recipe.job)),
    data: recipe ? usedData(recipe) : await dataOfCorpus(folder, contentHash),
    fidelity:
      (await readFidelity(folder, contentHash).catch((error: Error) => {
        throw new CliError(error.message);
      })) ?? null,
  };
}

/** Those that model signatures pass over, at the top of a folder (model_signing.hashing). */
const passedOver = new Set(['.git', '.gitattributes', '.github', '.gitignore']);

/** All files of a folder with their hashes, by name. A link is refused: what it leads to may be another file tomorrow. */
export async function filesOf(folder: string): Promise<FileFact[]> {
  const found: FileFact[] = [];
  const walk = async (within: string) => {
    for (const entry of await readdir(join(folder, within), { withFileTypes: true })) {
      if (within === '' && passedOver.has(entry.name)) continue;
      const name = within === '' ? entry.name : `${within}/${entry.name}`;
      if (entry.isDirectory()) await walk(name);
      else if (entry.isFile()) {
        const path = join(folder, name);
        found.push({ name, sha256: await digestOf(path), bytes: (await stat(path)).size });
      } else
        throw new CliError(
          `${join(folder, name)} is a link or no plain file, which nobody can vouch for. Copy the adapter.`,
        );
    }
  };
  await walk('');
  return found.sort(byPath);
}

/** As Python orders paths: part by part, by code points. */
function byPath(a: { name: string }, b: { name: string }): number {
  const [one, other] = [a.name.split('/'), b.name.split('/')];
  for (let at = 0; at < Math.min(one.length, other.length); at++) {
    const order = Buffer.compare(Buffer.from(one[at]!), Buffer.from(other[at]!));
    if (order !== 0) return order;
  }
  return one.length - other.length;
}

/** Throws CliError where it is no JSON, or not of that shape. */
async function readJson<T>(path: string, shape: TSchema = Type.Object({})): Promise<T> {
  return parsed(await readFile(path, 'utf8'), path, shape);
}

function parsed<T>(text: string, path: string, shape: TSchema): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CliError(`${path} is no JSON: ${(error as Error).message}.`);
  }
  const [fault] = Value.Errors(shape, value);
  if (fault)
    throw new CliError(
      `${path} is not what its name says: ${fault.instancePath || 'all of it'} ${fault.message}.`,
    );
  return value as T;
}

async function readLog(path: string, kept: number): Promise<LogFacts | null> {
  const found: Partial<LogFacts> = {};
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    if (line === '') continue;
    const row = JSON.parse(line) as LogRow;
    found.first ??= row;
    found.last = row;
    if (row.step === kept) found.kept = row;
  }
  const { first, last } = found;
  return first && last ? { steps: last.step, first, last, kept: found.kept } : null;
}

/** The record lies beside the adapter's folder, until that is copied elsewhere. */
async function jobOf(folder: string, id: string): Promise<AdapterFacts['job']> {
  const path = join(dirname(folder), 'record.json');
  if (!existsSync(path)) return null;
  const { job } = await readJson<Partial<JobRecord>>(path);
  return job?.id === id ? { createdAt: job.created_at, finishedAt: job.finished_at } : null;
}

const datanetName = /^datanet:([a-z0-9-]+)@([0-9a-f]{64})/;

const used = (
  role: UsedData['role'],
  { file, sha256, examples }: DataRecord | (Omit<DataRecord, 'sha256'> & { sha256: null }),
): UsedData => {
  const [, datanet = null, snapshot = null] = datanetName.exec(file) ?? [];
  return { role, file, datanet, snapshot, sha256, examples };
};

function usedData({ data: { training, validation } }: RecipeFile): UsedData[] {
  return [used('training', training), ...(validation ? [used('validation', validation)] : [])];
}

/** Of an adapter that was imported together with what says who taught it: the first line of its corpus. */
async function dataOfCorpus(folder: string, contentHash: string): Promise<UsedData[]> {
  const path = join(folder, corpusFile);
  if (!existsSync(path)) return [];
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(longestHead), 0, longestHead, 0);
    const [line] = buffer.toString('utf8', 0, bytesRead).split('\n', 1);
    const head = parsed<CorpusHead>(line!, path, Corpus);
    if (head.adapter !== contentHash)
      throw new CliError(
        `${path} is of the adapter ${head.adapter}, not of this one (${contentHash}). Remove it.`,
      );
    return [used('training', { file: head.source, examples: head.examples, sha256: null })];
  } finally {
    await file.close();
  }
}
