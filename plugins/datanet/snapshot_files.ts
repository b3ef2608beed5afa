/** A snapshot as a file of JSON lines: "datanet:NAME@SNAPSHOT", "datanet:NAME@latest", "...:validation" for another split. */
import type { FileSource } from '../../gateway/contract/index.ts';
import { type Caller, datanetFor, notFound } from './access.ts';
import type { Service } from './http/routes.ts';
import { snapshotFor } from './http/snapshots.ts';
import type { Split } from './model.ts';
import { Manifest } from './snapshots/manifest.ts';
import { placesOfSplit } from './snapshots/texts.ts';

const prefix = 'datanet:';
const pattern = /^datanet:([a-z0-9-]{1,64})@([0-9a-f]{64}|latest)(?::(train|validation|test))?$/;

export function snapshotFiles(service: () => Promise<Pick<Service, 'store' | 'blobs'>>): FileSource {
  const open = async (id: string, caller: Caller) => {
    const [, name, wanted, split = 'train'] = pattern.exec(id) ?? [];
    if (!name || !wanted) throw notFound('snapshot', id);
    const { store, blobs } = await service();
    const { datanet } = await datanetFor(store, name, caller, 'contributor');
    const snapshot = await snapshotFor(store, datanet, wanted);
    const manifest = await Manifest.open(blobs, snapshot.manifest);
    return { name, split, store, blobs, datanet, snapshot, manifest };
  };
  return {
    prefix,
    async find(id, caller) {
      const { name, split, store, blobs, datanet, snapshot, manifest } = await open(id, caller);
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
          const given = new Map<string, number>();
          for await (const entries of manifest.entries()) {
            for (const { hash, contribution, contributor, cluster, split: own } of entries) {
              if (own !== split) continue;
              if (!given.has(contribution))
                given.set(contribution, (await store.contribution(contribution))?.createdAt ?? 0);
              const when = given.get(contribution)!;
              yield { example: hash, contribution, contributor, cluster: String(cluster), given: when };
            }
          }
        },
      };
    },
    async example(id, hash, caller) {
      const { store, blobs, datanet, manifest } = await open(id, caller);
      const found = await manifest.find(hash);
      if (!found) throw notFound('example', hash);
      const [place] = await store.placesOf(datanet.id, [found.entry]);
      if (!place) return undefined;
      const chunks: Uint8Array[] = [];
      for await (const chunk of blobs.read(place.blob, place)) chunks.push(chunk);
      return Buffer.concat(chunks).toString();
    },
  };
}
