/** Whether a bundle is whole, signed, and of the adapter that it names. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Type } from 'typebox';
import Schema from 'typebox/schema';
import { CliError } from '../../gateway/cli/failure.ts';
import { fileIn, filesUnder, sha256Of } from '../datanet/folder/files.ts';
import { openEnvelope, statementPayload } from '../metering/keys/dsse.ts';
import type { PublicKeys } from '../metering/keys/public_keys.ts';
import {
  type BundleManifest,
  bundleType,
  contributionsFile,
  examplesFile,
  keysFile,
  manifestFile,
  manifestStatementFile,
  modelKeyFile,
  modelSignatureFile,
  trainingFile,
} from './bundle.ts';
import { type SnapshotRoots, snapshotListFaults } from './check_snapshot_lists.ts';
import { modelSignatureType, openModelSignature } from './documents/model_signature.ts';
import { slsaType } from './documents/training_statement.ts';
import { type FileFact, filesOf } from './facts/adapter.ts';

/** Larger ones are no documents of a bundle that have to be held in memory. */
const longest = 64 * 2 ** 20;

const Manifest = Schema.Compile(
  Type.Object({
    format: Type.Literal('colophon-provenance-v1'),
    adapter: Type.Object({ name: Type.String(), content_hash: Type.String() }),
    files: Type.Array(
      Type.Object({
        path: Type.String(),
        sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
        bytes: Type.Integer(),
      }),
    ),
    withdrawn: Type.Array(Type.String()),
  }),
);
/** The one of the dependencies that the lists are of. */
const ListedSnapshot = Schema.Compile(
  Type.Object({
    digest: Type.Object({ 'rfc6962-sha256': Type.String() }),
    annotations: Type.Object({ provenance: Type.Union([Type.String(), Type.Null()]) }),
  }),
);
const Statement = Schema.Compile(
  Type.Object({
    predicateType: Type.String(),
    subject: Type.Array(
      Type.Object({ name: Type.String(), digest: Type.Record(Type.String(), Type.String()) }),
    ),
    predicate: Type.Object({
      resources: Type.Optional(Type.Array(Type.Object({ name: Type.String(), digest: Type.String() }))),
      buildDefinition: Type.Optional(
        Type.Object({ resolvedDependencies: Type.Optional(Type.Array(Type.Object({}))) }),
      ),
    }),
  }),
);

export interface CheckOptions {
  /** The adapter's folder; undefined: it is not there to be compared. */
  adapter: string | undefined;
  /** Asked for once the files are as the manifest has them; the bundle's own prove no more than that it is whole. */
  keys(): PublicKeys;
}

/** The manifest of a bundle. Throws CliError where there is none. */
export async function readManifest(folder: string): Promise<BundleManifest> {
  const manifest = await readJson(folder, manifestFile);
  if (!Manifest.Check(manifest))
    throw new CliError(`${join(folder, manifestFile)} is no manifest of a provenance bundle.`);
  return manifest as BundleManifest;
}

/** What is wrong with it, a sentence each. Throws CliError where the folder is no bundle at all. */
export async function checkBundle(folder: string, { adapter, keys }: CheckOptions): Promise<string[]> {
  const manifest = await readManifest(folder);
  const faults = await changedFiles(folder, manifest);
  if (faults.length > 0) return faults;
  const known = keys();
  const signed = async (file: string, type: string) => {
    const opened = openEnvelope(await readJson(folder, file), statementPayload, known);
    return 'problem' in opened
      ? { fault: `${file}: ${opened.problem}` }
      : statementIn(opened.payload, file, type);
  };
  const whole = await signed(manifestStatementFile, bundleType);
  const digest = await sha256Of(join(folder, manifestFile));
  if ('fault' in whole) faults.push(whole.fault);
  else if (whole.digests.get(manifestFile) !== digest)
    faults.push(`${manifestStatementFile} is of another ${manifestFile}.`);
  const training = await signed(trainingFile, slsaType);
  const model = await modelStatementOf(folder);
  for (const one of [training, model]) if ('fault' in one) faults.push(one.fault);
  if ('snapshot' in training && training.snapshot) {
    const listed = new Set(manifest.files.map(({ path }) => path));
    const lost = [examplesFile, contributionsFile].filter((path) => !listed.has(path));
    if (lost.length > 0) faults.push(...lost.map((path) => `${manifestFile} says nothing of ${path}.`));
    else faults.push(...(await snapshotListFaults(folder, training.snapshot)));
  }
  if (adapter === undefined || 'fault' in training || 'fault' in model) return faults;
  const files = await filesOf(adapter);
  faults.push(...otherFiles(files, training.digests, trainingFile));
  faults.push(...otherFiles(files, model.resources, modelSignatureFile));
  return faults;
}

/** Which of its files are not those of the manifest. */
async function changedFiles(folder: string, { files }: BundleManifest): Promise<string[]> {
  const faults: string[] = [];
  const listed = new Set([manifestFile, manifestStatementFile]);
  for (const { path, sha256 } of files) {
    listed.add(path);
    if (!existsSync(join(folder, path))) {
      faults.push(`${path} is missing.`);
      continue;
    }
    const found = await sha256Of(await fileIn(folder, path));
    if (found !== sha256) faults.push(`${path} was changed: its SHA-256 is ${found}, not ${sha256}.`);
  }
  if (!existsSync(join(folder, manifestStatementFile))) faults.push(`${manifestStatementFile} is missing.`);
  for (const path of [trainingFile, modelSignatureFile, keysFile, modelKeyFile])
    if (!listed.has(path)) faults.push(`${manifestFile} says nothing of ${path}.`);
  for (const path of await filesUnder(folder))
    if (!listed.has(path)) faults.push(`${manifestFile} says nothing of ${path}.`);
  return [...new Set(faults)];
}

interface Signed {
  /** SHA-256 of the statement's subjects, by name. */
  digests: Map<string, string>;
  /** Of a model's signature: SHA-256 of its files. */
  resources: Map<string, string>;
  /** Of a training's. */
  snapshot: SnapshotRoots | undefined;
}

async function modelStatementOf(folder: string): Promise<Signed | { fault: string }> {
  const key = readKey(await readFile(join(folder, modelKeyFile), 'utf8'));
  if (!key) return { fault: `${modelKeyFile} is no public key in PEM.` };
  const body = openModelSignature(await readJson(folder, modelSignatureFile), key);
  if (!body) return { fault: `${modelSignatureFile} is not signed by the key in ${modelKeyFile}.` };
  return statementIn(body, modelSignatureFile, modelSignatureType);
}

function statementIn(body: Buffer, file: string, type: string): Signed | { fault: string } {
  let statement: unknown;
  try {
    statement = JSON.parse(body.toString());
  } catch {
    statement = undefined;
  }
  if (!Statement.Check(statement) || statement.predicateType !== type)
    return { fault: `${file} is no statement of the type ${type}.` };
  const { subject, predicate } = statement;
  const snapshot = predicate.buildDefinition?.resolvedDependencies?.find((one) => ListedSnapshot.Check(one));
  return {
    digests: new Map(subject.map(({ name, digest }) => [name, digest.sha256 ?? ''])),
    resources: new Map((predicate.resources ?? []).map(({ name, digest }) => [name, digest])),
    snapshot: snapshot && {
      id: snapshot.digest['rfc6962-sha256'],
      provenance: snapshot.annotations.provenance,
    },
  };
}

function otherFiles(files: readonly FileFact[], named: Map<string, string>, by: string): string[] {
  const here = new Map(files.map(({ name, sha256 }) => [name, sha256]));
  return [...new Set([...here.keys(), ...named.keys()])].flatMap((name) => {
    const [found, wanted] = [here.get(name), named.get(name)];
    if (found === wanted) return [];
    if (wanted === undefined) return [`The adapter has the file ${name}, which ${by} does not name.`];
    if (found === undefined) return [`The adapter has no ${name}, which ${by} names.`];
    return [`The adapter's ${name} is not the one that ${by} names: its SHA-256 is ${found}, not ${wanted}.`];
  });
}

async function readJson(folder: string, file: string): Promise<unknown> {
  const path = join(folder, file);
  const info = await stat(path).catch(() => undefined);
  if (!info?.isFile()) throw new CliError(`There is no ${file} in ${folder}: it is no provenance bundle.`);
  if (info.size > longest) throw new CliError(`${path} has ${info.size} bytes; at most ${longest} are read.`);
  try {
    return JSON.parse(await readFile(path, 'utf8')) as unknown;
  } catch (error) {
    throw new CliError(`${path} is no JSON: ${(error as Error).message}.`);
  }
}

function readKey(pem: string): KeyObject | undefined {
  try {
    return createPublicKey(pem);
  } catch {
    return undefined;
  }
}
