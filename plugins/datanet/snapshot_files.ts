/** A snapshot as a file of JSON lines: "datanet:NAME@SNAPSHOT", "datanet:NAME@latest", "...:validation" for another split. */
import type { ExampleOrigin, FileSource } from '../../gateway/contract/index.ts';
import { datanetFor, notFound } from './access.ts';
import type { Service } from './http/routes.ts';
import { snapshotFor } from './http/snapshots.ts';
import type { SnapshotEntry, Split } from './model.ts';
import { Manifest } from './snapshots/manifest.ts';
import { placesOfSplit } from './snapshots/texts.ts';

const prefix = 'datanet:';
const pattern = /^datanet:([a-z0-9-]{1,64})@([0-9a-f]{64}|latest)(?::(train|validation|test))?$/;

export function snapshotFiles(service: () => Promise<Pick<Service, 'store' | 'blobs'>>): FileSource {
  return {
    prefix,
    async find(id, caller) {
      const [, name, wanted, split = 'train'] = pattern.exec(id) ?? [];
      if (!name || !wanted) throw notFound('snapshot', id);
      const { store, blobs } = await service();
      const { datanet } = await datanetFor(store, name, caller, 'contributor');
      const snapshot = await snapshotFor(store, datanet, wanted);
      const manifest = await Manifest.open(blobs, snapshot.manifest);
      const places = () => placesOfSplit(store, datanet, manifest, split as Split);
      let bytes = 0;
      for await (const { place } of places()) bytes += place.bytes + 1;
      return {
        id: `${prefix}${name}@${snapshot.id}${split === 'train' ? '' : `:${split}`}`,
        filename: `${name}-${snapshot.id.slice(0, 12)}-${split}.jsonl`,
        purpose: 'fine-tune',
        bytes,
        createdAt: snapshot.createdAt,
        content: async function* () {
          for await (const { place } of places()) {
            yield* blobs.read(place.blob, place);
            yield Buffer.from('\n');
          }
        },
        origins: async function* () {
          for await (const entries of manifest.entries())
            for (const entry of entries) if (entry.split === split) yield originOf(entry);
        },
      };
    },
  };
}

function originOf({ hash, contribution, contributor, cluster }: SnapshotEntry): ExampleOrigin {
  return { example: hash, contribution, contributor, cluster: String(cluster) };
}
