/** A dataset folder as Hugging Face has them: README.md with YAML before it, and files of rows. */
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { CliError } from '../../../gateway/cli/failure.ts';
import { fileIn, filesUnder } from './files.ts';

export interface HuggingFaceFolder {
  /** As the front matter has it; undefined where it has none, or several. */
  licence: string | undefined;
  title: string | undefined;
  /** Files of rows within the folder. */
  files: string[];
}

const rowFiles = /\.(parquet|jsonl|ndjson|json|csv|tsv)(\.gz|\.zst)?$/i;

/** Throws a CliError where there is no README.md, its front matter cannot be read, or no file of rows is there. */
export async function readHuggingFaceFolder(folder: string): Promise<HuggingFaceFolder> {
  const readme = await readFile(await fileIn(folder, 'README.md'), 'utf8');
  const matter = frontMatter(readme);
  const there = (await filesUnder(folder)).filter((file) => rowFiles.test(file) && !file.startsWith('.'));
  const patterns = dataFiles(matter.configs);
  const files =
    patterns.length > 0
      ? chosen(patterns, there)
      : there.filter((file) => file.startsWith('data/') || !file.includes('/'));
  if (files.length === 0)
    throw new CliError(`The folder ${folder} has no files of rows (data/*.parquet, .jsonl, .json or .csv).`);
  for (const file of files) await fileIn(folder, file);
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
  return { licence: text(matter.license), title: text(matter.pretty_name), files };
}

function frontMatter(readme: string): Record<string, unknown> {
  const [, yaml] = /^---\r?\n([\s\S]{0,65536}?)\r?\n---(\r?\n|$)/.exec(readme) ?? [];
  if (yaml === undefined) return {};
  try {
    const value = parse(yaml, { maxAliasCount: 100 });
    return typeof value === 'object' && value !== null ? value : {};
  } catch (error) {
    throw new CliError(
      `The front matter of README.md cannot be read as YAML: ${(error as Error).message.split('\n')[0]}`,
    );
  }
}

/** Patterns of the first configuration, or of the one that is the default. */
function dataFiles(configs: unknown): string[] {
  if (!Array.isArray(configs)) return [];
  const config = configs.find((one) => one?.default === true || one?.config_name === 'default') ?? configs[0];
  const files = config?.data_files;
  const list = Array.isArray(files) ? files : files === undefined ? [] : [files];
  return list.flatMap((one) => one?.path ?? one).filter((one): one is string => typeof one === 'string');
}

function chosen(patterns: string[], there: string[]): string[] {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const matches = globExpression(pattern);
    const some = there.filter((file) => matches.test(file));
    if (some.length === 0)
      throw new CliError(
        `README.md names the files ${JSON.stringify(pattern.slice(0, 200))}; there are none in the folder.`,
      );
    for (const file of some) found.add(file);
  }
  return [...found].sort();
}

/** `*` and `?` within a name, `**` over folders. */
function globExpression(pattern: string): RegExp {
  const parts = pattern
    .replace(/^\.\//, '')
    .replace(/\*{2,}/g, '**')
    .split(/(\*\*\/|\*\*|\*|\?)/);
  const of: Record<string, string> = { '**/': '(?:[^/]+/)*', '**': '.*', '*': '[^/]*', '?': '[^/]' };
  return new RegExp(
    `^${parts.map((part) => of[part] ?? part.replace(/[.+^${}()|[\]\\]/g, '\\$&')).join('')}$`,
  );
}
