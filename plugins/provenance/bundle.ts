/** Writes the bundle of an adapter: a folder of documents, the list of them with their hashes, and the signatures. */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CliError } from '../../gateway/cli/failure.ts';
import { fidelityFile } from '../../gateway/contract/index.ts';
import type { FolderFile } from '../datanet/folder/croissant.ts';
import { writeHashed } from '../datanet/folder/files.ts';
import { envelopeBytes, signEnvelope, statementPayload } from '../metering/keys/dsse.ts';
import type { PublicKeys } from '../metering/keys/public_keys.ts';
import { contentSummary } from './documents/content_summary.ts';
import { mlbom } from './documents/mlbom.ts';
import { modelStatement, publicPem, signModel } from './documents/model_signature.ts';
import { snapshotCroissant } from './documents/snapshot_croissant.ts';
import { summaryText } from './documents/summary_text.ts';
import { statementType, trainingStatement } from './documents/training_statement.ts';
import { type Facts, withdrawalSentences } from './facts/facts.ts';
import type { SnapshotFacts } from './facts/snapshot.ts';

export const manifestFile = 'MANIFEST.json';
/** The manifest's signature: a statement whose one subject it is. */
export const manifestStatementFile = 'MANIFEST.intoto.json';
export const trainingFile = 'training.intoto.json';
export const modelSignatureFile = 'model.sig';
export const keysFile = 'keys.json';
/** A line for each example of the snapshot, and for each of its contributions. */
export const examplesFile = 'examples.jsonl';
export const contributionsFile = 'contributions.jsonl';
export const modelKeyFile = 'model-key.pub.pem';

export const bundleType = 'urn:colophon:provenance-bundle:v1';

export interface BundleManifest {
  format: 'colophon-provenance-v1';
  adapter: { name: string; content_hash: string };
  /** All but the manifest and its signature, by name. */
  files: FolderFile[];
  /** Documents that there are none of, and why. */
  absent: Array<{ path: string; reason: string }>;
  /** A sentence for each contribution with withdrawn texts. */
  withdrawn: string[];
}

export interface BundleKeys {
  /** Ed25519, private: signs the statements. */
  signing: KeyObject;
  /** All that ever signed here: whom a reader knows the signature by. */
  known: PublicKeys;
  /** P-256, private: signs the model. */
  model: KeyObject;
}

/**
 * Fills `target`, which is not there or empty, at once: what fails leaves nothing. The same facts give the same bytes but for the
 * model's signature, which chance has a part in, and what names it by its hash. Throws CliError where there is something already.
 */
export async function writeBundle(target: string, facts: Facts, keys: BundleKeys): Promise<BundleManifest> {
  const there = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    if (error.code === 'ENOTDIR') throw new CliError(`${target} is a file. Name a folder.`);
    throw error;
  });
  if (there && there.length > 0)
    throw new CliError(`${target} is not empty. Name an empty folder, or one that is not there.`);
  const aside = `${target}.${process.pid}.part`;
  try {
    await mkdir(aside, { recursive: true });
    const manifest = await fill(aside, facts, keys);
    // In the place of an empty folder, too.
    await rename(aside, target);
    return manifest;
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
}

async function fill(folder: string, facts: Facts, keys: BundleKeys): Promise<BundleManifest> {
  const { adapter, snapshot } = facts;
  const files: FolderFile[] = [];
  const absent: BundleManifest['absent'] = [];
  const save = async (path: string, chunks: AsyncIterable<Uint8Array>) => {
    const file = { path, ...(await writeHashed(join(folder, path), chunks)) };
    files.push(file);
    return file;
  };
  const saveText = (path: string, text: string | Uint8Array) => save(path, once(Buffer.from(text as string)));
  const saveJson = (path: string, value: object) => saveText(path, `${JSON.stringify(value, null, 2)}\n`);

  await saveText(trainingFile, signedBytes(trainingStatement(facts), keys));
  await saveJson(modelSignatureFile, signModel(modelStatement(adapter.name, adapter.files), keys.model));
  await saveJson(keysFile, keys.known.toJson());
  await saveText(modelKeyFile, publicPem(createPublicKey(keys.model)));
  await saveJson('mlbom.cdx.json', mlbom(facts));
  const summary = contentSummary(facts);
  await saveJson('training-content-summary.json', summary);
  await saveText('training-content-summary.md', summaryText(summary));
  if (snapshot) {
    const described = {
      examples: await save(examplesFile, lines(entriesOf(snapshot))),
      contributions: await save(contributionsFile, lines(contributionLines(snapshot))),
    };
    await saveJson('croissant.json', snapshotCroissant(facts, snapshot, described));
  } else {
    absent.push({ path: 'croissant.json', reason: noSnapshot(facts) });
  }
  if (adapter.fidelity) await saveText(fidelityFile, await readFile(join(adapter.folder, fidelityFile)));
  else absent.push({ path: fidelityFile, reason: 'Nobody has measured how faithful its attribution is.' });

  const manifest: BundleManifest = {
    format: 'colophon-provenance-v1',
    adapter: { name: adapter.name, content_hash: adapter.contentHash },
    files: files.sort((a, b) => (a.path < b.path ? -1 : 1)),
    absent,
    withdrawn: withdrawalSentences(facts),
  };
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  await writeHashed(join(folder, manifestFile), once(text));
  const statement = {
    _type: statementType,
    subject: [{ name: manifestFile, digest: { sha256: createHash('sha256').update(text).digest('hex') } }],
    predicateType: bundleType,
    predicate: { adapter: adapter.contentHash },
  };
  await writeHashed(join(folder, manifestStatementFile), once(signedBytes(statement, keys)));
  return manifest;
}

const signedBytes = (statement: object, { signing }: BundleKeys) =>
  envelopeBytes(signEnvelope(statementPayload, Buffer.from(JSON.stringify(statement)), signing));

function noSnapshot({ adapter: { data, recipe } }: Facts): string {
  const [training] = data;
  if (training?.datanet)
    return `The Datanet ${training.datanet} or its snapshot ${training.snapshot} is no longer here.`;
  if (training) return `It learned from ${training.file}, which is no snapshot of a Datanet.`;
  return recipe
    ? 'Its recipe names no data.'
    : 'It was not trained here, and its files do not say from what it learned.';
}

async function* entriesOf(snapshot: SnapshotFacts) {
  for await (const entries of snapshot.entries()) yield* entries;
}

async function* contributionLines({ contributions }: SnapshotFacts) {
  for (const { record, state, examples, withdrawn } of contributions)
    yield { ...record, state, examples, withdrawn };
}

/** In pieces, since a line each would be a write each. */
async function* lines(values: AsyncIterable<object>): AsyncGenerator<Uint8Array> {
  let piece = '';
  for await (const value of values) {
    piece += `${JSON.stringify(value)}\n`;
    if (piece.length < 2 ** 16) continue;
    yield Buffer.from(piece);
    piece = '';
  }
  if (piece !== '') yield Buffer.from(piece);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
