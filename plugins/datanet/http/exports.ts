/** What a copy of a snapshot is made of: the rows of a split as a file, and who gave them. */
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { type Static, Type } from 'typebox';
import { datanetFor } from '../access.ts';
import { type ExportRow, writeJsonLines, writeParquet } from '../formats/write_rows.ts';
import type { Split } from '../model.ts';
import { Manifest } from '../snapshots/manifest.ts';
import { recordOf } from '../snapshots/provenance.ts';
import { type PlacedEntry, placesOfSplit, textsOfSplit } from '../snapshots/texts.ts';
import { listAnswer, recordAnswer } from './answers.ts';
import { ByType, type IdParams, idParams, type RouteParts, told } from './routes.ts';
import { snapshotFor } from './snapshots.ts';

const rowsQuery = Type.Object({
  split: Type.Optional(Type.Enum(['train', 'validation', 'test'], { description: 'Default train.' })),
  format: Type.Optional(Type.Enum(['jsonl', 'parquet'], { description: 'Default jsonl.' })),
});
const recordsQuery = Type.Object({
  after: Type.Optional(Type.String({ maxLength: 100 })),
  limit: Type.Optional(Type.String({ pattern: '^([1-9][0-9]{0,2}|1000)$', description: 'Default 100.' })),
});

const rowFiles = new ByType({
  'application/jsonl': Type.String({ description: 'A row a line.' }),
  'application/vnd.apache.parquet': Type.String({ description: 'A Parquet file.' }),
});

export function exportRoutes(app: FastifyInstance, { service, caller }: RouteParts): void {
  app.get<{ Params: IdParams; Querystring: Static<typeof rowsQuery> }>(
    '/datanets/:name/snapshots/:id/rows',
    {
      schema: {
        params: idParams,
        querystring: rowsQuery,
        ...told('downloadSnapshotRows', 'The rows of a split as a file, each with who gave it', rowFiles),
      },
    },
    async (request, reply) => {
      const { store, blobs } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'contributor');
      const snapshot = await snapshotFor(store, datanet, request.params.id);
      const manifest = await Manifest.open(blobs, snapshot.manifest);
      const { split = 'train', format = 'jsonl' } = request.query;
      const places = () => placesOfSplit(store, datanet, manifest, split as Split);
      for await (const _ of places()); // A text that is gone is told before the file begins.
      const rows = exportRows(textsOfSplit(blobs, places()));
      const metadata = { hash: 'text', contribution: 'text', contributor: 'text', line: 'integer' } as const;
      const file =
        format === 'jsonl' ? writeJsonLines(rows) : writeParquet(rows, { kinds: datanet.kinds, metadata });
      return reply
        .type(format === 'jsonl' ? 'application/jsonl' : 'application/vnd.apache.parquet')
        .send(Readable.from(file));
    },
  );

  app.get<{ Params: IdParams; Querystring: Static<typeof recordsQuery> }>(
    '/datanets/:name/snapshots/:id/contributions',
    {
      schema: {
        params: idParams,
        querystring: recordsQuery,
        ...told(
          'listSnapshotContributions',
          'What its contributions say of themselves, by id',
          listAnswer(recordAnswer),
        ),
      },
    },
    async (request) => {
      const { store, blobs } = await service();
      const { datanet } = await datanetFor(store, request.params.name, caller(request), 'contributor');
      const snapshot = await snapshotFor(store, datanet, request.params.id);
      const manifest = await Manifest.open(blobs, snapshot.manifest);
      const ids = new Set<string>();
      for await (const batch of manifest.entries())
        for (const { contribution } of batch) ids.add(contribution);
      const { after = '', limit = '100' } = request.query;
      const left = [...ids].sort().filter((id) => id > after);
      const data = [];
      for (const id of left.slice(0, Number(limit))) {
        const contribution = (await store.contribution(id))!;
        const contributor = (await store.contributor(contribution.contributor))!;
        data.push(recordOf(datanet.name, contribution, contributor));
      }
      return { object: 'list', data, has_more: left.length > data.length };
    },
  );
}

async function* exportRows(
  batches: AsyncIterable<Array<PlacedEntry & { content: ExportRow['content'] }>>,
): AsyncGenerator<ExportRow[]> {
  for await (const batch of batches) {
    yield batch.map(({ content, place: { source, group }, entry }) => {
      const { hash, contribution, contributor, line } = entry;
      return { content, source, group, metadata: { hash, contribution, contributor, line } };
    });
  }
}
