/** /datanets/{name}/snapshots: what was frozen, what is different, what can be proved. */
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { type Caller, datanetFor, notFound } from '../access.ts';
import type { Datanet, Role, Snapshot } from '../model.ts';
import { countDifferences } from '../snapshots/diff.ts';
import { Manifest } from '../snapshots/manifest.ts';
import { Proof, proveExample } from '../snapshots/proof.ts';
import { splitWarnings } from '../snapshots/warnings.ts';
import type { DatanetStore } from '../store/datanet_store.ts';
import { diffAnswer, entryAnswer, jobAnswer, listAnswer, snapshotAnswer } from './answers.ts';
import { curationFor } from './curation.ts';
import { jobJson } from './jobs.ts';
import {
  type IdParams,
  idParams,
  listJson,
  type NameParams,
  nameParams,
  pageOf,
  pageQuery,
  type RouteParts,
  told,
} from './routes.ts';

const share = Type.Number({ minimum: 0, maximum: 1 });
const snapshotBody = Type.Object({
  curation: Type.Optional(
    Type.Union([Type.String({ maxLength: 100 }), Type.Null()], {
      description: 'Job of a curation; left out: the latest that is done. Null: none, rows as they came.',
    }),
  ),
  seed: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  shares: Type.Optional(
    Type.Object(
      { train: share, validation: share, test: share },
      { description: 'Of all examples; they add up to 1. Default 0.8, 0.1, 0.1.' },
    ),
  ),
  apart: Type.Optional(
    Type.Enum(['contributor', 'source', 'cluster'], {
      description: 'What train and held-out never share besides near-duplicates and groups. Default source.',
    }),
  ),
});
const entriesQuery = Type.Object({
  from: Type.Optional(
    Type.String({ pattern: '^[0-9]{1,9}$', description: 'Position of the first; default 0.' }),
  ),
  limit: Type.Optional(
    Type.String({ pattern: '^([1-9][0-9]{0,2}|1000)$', description: '1 to 1000; default 100.' }),
  ),
});
const diffParams = Type.Object({ name: Type.String(), id: Type.String(), other: Type.String() });
const proofParams = Type.Object({
  name: Type.String(),
  id: Type.String(),
  hash: Type.String({ pattern: '^[0-9a-f]{64}$' }),
});

export function snapshotRoutes(app: FastifyInstance, { service, caller }: RouteParts): void {
  const found = async (name: string, who: Caller, needed: Role) => {
    const { store, blobs, jobs } = await service();
    const { datanet } = await datanetFor(store, name, who, needed);
    return { store, blobs, jobs, datanet };
  };
  app.post<{ Params: NameParams; Body: Static<typeof snapshotBody> }>(
    '/datanets/:name/snapshots',
    {
      schema: {
        params: nameParams,
        body: snapshotBody,
        ...told(
          'makeSnapshot',
          'Freeze what is accepted now: a job, whose report names the snapshot',
          jobAnswer,
        ),
      },
    },
    async (request) => {
      const { store, jobs, datanet } = await found(request.params.name, caller(request), 'curator');
      const {
        curation = (await store.latestCuration(datanet.id))?.id ?? null,
        seed = 0,
        shares = { train: 0.8, validation: 0.1, test: 0.1 },
        apart = 'source',
      } = request.body;
      if (curation !== null) await curationFor(store, datanet, curation);
      return jobJson(
        await jobs.submit(datanet.id, 'snapshot', { settings: { curation, seed, shares, apart } }),
      );
    },
  );
  app.get<{ Params: NameParams; Querystring: { after?: string; limit?: string } }>(
    '/datanets/:name/snapshots',
    {
      schema: {
        params: nameParams,
        querystring: pageQuery({}),
        ...told('listSnapshots', 'The snapshots', listAnswer(snapshotAnswer)),
      },
    },
    async (request) => {
      const { store, datanet } = await found(request.params.name, caller(request), 'contributor');
      return listJson(await store.snapshots(datanet.id, pageOf(request.query)), snapshotJson);
    },
  );
  app.get<{ Params: IdParams }>(
    '/datanets/:name/snapshots/:id',
    {
      schema: {
        params: idParams,
        ...told('retrieveSnapshot', 'One snapshot; "latest" is the last', snapshotAnswer),
      },
    },
    async (request) => {
      const { store, datanet } = await found(request.params.name, caller(request), 'contributor');
      return snapshotJson(await snapshotFor(store, datanet, request.params.id));
    },
  );
  app.get<{ Params: IdParams; Querystring: Static<typeof entriesQuery> }>(
    '/datanets/:name/snapshots/:id/entries',
    {
      schema: {
        params: idParams,
        querystring: entriesQuery,
        ...told('listSnapshotEntries', 'Hashes, by position', listAnswer(entryAnswer)),
      },
    },
    async (request) => {
      const { store, blobs, datanet } = await found(request.params.name, caller(request), 'contributor');
      const snapshot = await snapshotFor(store, datanet, request.params.id);
      const manifest = await Manifest.open(blobs, snapshot.manifest);
      const from = Number(request.query.from ?? 0);
      const to = Math.min(manifest.count, from + Number(request.query.limit ?? 100));
      const data = [];
      for await (const entries of manifest.entries(from, to)) data.push(...entries);
      return { object: 'list', data, has_more: to < manifest.count };
    },
  );
  app.get<{ Params: Static<typeof diffParams> }>(
    '/datanets/:name/snapshots/:id/diff/:other',
    {
      schema: {
        params: diffParams,
        ...told('diffSnapshots', 'What the other one has more and less', diffAnswer),
      },
    },
    async (request) => {
      const { store, blobs, datanet } = await found(request.params.name, caller(request), 'contributor');
      const open = async (id: string) =>
        Manifest.open(blobs, (await snapshotFor(store, datanet, id)).manifest);
      const counts = await countDifferences(await open(request.params.id), await open(request.params.other));
      return { object: 'datanet.diff', ...counts };
    },
  );
  app.get<{ Params: Static<typeof proofParams> }>(
    '/datanets/:name/snapshots/:id/proofs/:hash',
    {
      schema: {
        params: proofParams,
        ...told('proveExample', 'Proof that an example is in the snapshot', Proof),
      },
    },
    async (request) => {
      const { store, blobs, datanet } = await found(request.params.name, caller(request), 'contributor');
      const snapshot = await snapshotFor(store, datanet, request.params.id);
      return proveExample(request.params.hash, {
        snapshot,
        manifest: await Manifest.open(blobs, snapshot.manifest),
        contribution: (id) => store.contribution(id),
        contributor: (id) => store.contributor(id),
        datanet: datanet.name,
      });
    },
  );
}

/** "latest", or the id; 404 where there is none. */
export async function snapshotFor(store: DatanetStore, datanet: Datanet, id: string): Promise<Snapshot> {
  const snapshot =
    id === 'latest' ? await store.latestSnapshot(datanet.id) : await store.snapshot(datanet.id, id);
  if (snapshot) return snapshot;
  throw notFound('snapshot', id);
}

function snapshotJson(snapshot: Snapshot) {
  const { createdAt, datanet, ...same } = snapshot;
  const warnings = splitWarnings(snapshot);
  return { object: 'datanet.snapshot' as const, ...same, warnings, created_at: createdAt };
}
