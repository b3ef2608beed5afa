/** What the Datanet knows of the snapshot that an adapter learned from: who gave what, under which licence, what is withdrawn. */
import type { Contribution, Datanet, Snapshot, SnapshotEntry, Split } from '../../datanet/model.ts';
import type { OfflineDatanets } from '../../datanet/offline.ts';
import { Manifest } from '../../datanet/snapshots/manifest.ts';
import { type ContributionRecord, recordOf } from '../../datanet/snapshots/provenance.ts';

export interface ContributionFacts {
  record: ContributionRecord;
  state: Contribution['state'];
  /** Unix seconds. */
  givenAt: number;
  /** Of the snapshot, by split. */
  examples: Record<Split, number>;
  /** Of these, without a text: their contribution or they themselves were withdrawn. */
  withdrawn: number;
}

export interface SplitFacts {
  examples: number;
  /** Of its texts as JSON lines; null where some were withdrawn. */
  bytes: number | null;
}

export interface CurationFacts {
  job: string;
  /** How many rows each stage did something to, by what it did. */
  stages: Record<string, Record<'quarantine' | 'duplicate' | 'mask' | 'note', number>>;
  /** Rows by language, as it was told; empty: it was not. */
  languages: Record<string, number>;
  /** How often something personal or secret was seen, by kind. */
  personal: Record<string, number>;
}

export interface SnapshotFacts {
  datanet: Pick<Datanet, 'name' | 'description' | 'domain' | 'kinds'>;
  snapshot: Pick<Snapshot, 'id' | 'provenance' | 'createdAt'>;
  splits: Record<Split, SplitFacts>;
  /** By id. */
  contributions: ContributionFacts[];
  curation: CurationFacts | null;
  /** In the order of the snapshot's leaves, in batches. */
  entries(): AsyncIterable<SnapshotEntry[]>;
}

/** Undefined where the Datanet or the snapshot is no longer there. */
export async function snapshotFacts(
  { store, blobs }: Pick<OfflineDatanets, 'store' | 'blobs'>,
  name: string,
  id: string,
): Promise<SnapshotFacts | undefined> {
  const datanet = await store.datanet(name);
  const snapshot = datanet && (await store.snapshot(datanet.id, id));
  if (!datanet || !snapshot) return undefined;
  const manifest = await Manifest.open(blobs, snapshot.manifest);
  const counted = new Map<string, Pick<ContributionFacts, 'examples' | 'withdrawn'>>();
  const splits = { train: split(), validation: split(), test: split() };
  for await (const entries of manifest.entries()) {
    const places = await store.placesOf(datanet.id, entries);
    for (const [at, entry] of entries.entries()) {
      let own = counted.get(entry.contribution);
      if (!own) {
        own = { examples: { train: 0, validation: 0, test: 0 }, withdrawn: 0 };
        counted.set(entry.contribution, own);
      }
      const of = splits[entry.split];
      const place = places[at];
      own.examples[entry.split]++;
      of.examples++;
      if (!place) own.withdrawn++;
      of.bytes = place && of.bytes !== null ? of.bytes + place.bytes + 1 : null;
    }
  }
  const contributions: ContributionFacts[] = [];
  for (const [contributionId, counts] of [...counted].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const contribution = (await store.contribution(contributionId))!;
    const contributor = (await store.contributor(contribution.contributor))!;
    contributions.push({
      record: recordOf(name, contribution, contributor),
      state: contribution.state,
      givenAt: contribution.createdAt,
      ...counts,
    });
  }
  const { description, domain, kinds } = datanet;
  const { provenance, createdAt, settings } = snapshot;
  return {
    datanet: { name, description, domain, kinds },
    snapshot: { id, provenance, createdAt },
    splits,
    contributions,
    curation: settings.curation === null ? null : await curationFacts(store, settings.curation),
    entries: () => manifest.entries(),
  };
}

const split = (): SplitFacts => ({ examples: 0, bytes: 0 });

async function curationFacts(store: OfflineDatanets['store'], job: string): Promise<CurationFacts | null> {
  const report = (await store.job(job))?.report as
    | { stages?: Record<string, CurationFacts['stages'][string] & { counts: Record<string, number> }> }
    | null
    | undefined;
  if (!report?.stages) return null;
  const stages = Object.entries(report.stages).map(([name, { quarantine, duplicate, mask, note }]) => [
    name,
    { quarantine, duplicate, mask, note },
  ]);
  return {
    job,
    stages: Object.fromEntries(stages),
    languages: report.stages.language?.counts ?? {},
    personal: report.stages.pii?.counts ?? {},
  };
}

/** Of the licences of all its contributions, each once. */
export const licencesOf = ({ contributions }: SnapshotFacts) =>
  [...new Set(contributions.map(({ record }) => record.licence))].sort();

/** Each contributor once, by id. */
export function contributorsOf({ contributions }: SnapshotFacts): Array<ContributionRecord['contributor']> {
  const found = new Map(contributions.map(({ record: { contributor } }) => [contributor.id, contributor]));
  return [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** Contributions of which texts were withdrawn, with how many. */
export const withdrawalsOf = ({ contributions }: SnapshotFacts) =>
  contributions.filter(({ withdrawn }) => withdrawn > 0);

/** When the first and the last of its contributions were given, Unix seconds; undefined: it has none. */
export function givenBetween({ contributions }: SnapshotFacts): [number, number] | undefined {
  if (contributions.length === 0) return undefined;
  const times = contributions.map(({ givenAt }) => givenAt);
  return [times.reduce((a, b) => Math.min(a, b)), times.reduce((a, b) => Math.max(a, b))];
}
