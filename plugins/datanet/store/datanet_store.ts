/** Where Datanets are kept: the records. Implemented over SQLite and PostgreSQL by the same queries (store/sql_store.ts). */
import type {
  Contribution,
  Contributor,
  Datanet,
  ExampleWithdrawal,
  Place,
  RefusedRow,
  Role,
  Snapshot,
  SnapshotEntry,
  StoredExample,
  TextPlace,
} from '../model.ts';

/** What curation found about an example. */
export interface Verdict {
  seq: number;
  stage: string;
  action: 'quarantine' | 'duplicate' | 'mask' | 'note';
  /** A sentence. */
  reason: string;
  /** Of duplicates: the seq of the one that stands for them all. */
  canonical?: number;
  /** Of masks: the new content. */
  masked?: { hash: string; place: Place };
}

export type JobState = 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';

/** Work that takes long. It goes on where it was after a restart. */
export interface Job {
  id: string;
  datanet: string;
  kind: 'check' | 'curate' | 'snapshot' | 'import';
  /** Of its kind: the contribution's id, curation settings, snapshot settings. */
  params: Record<string, unknown>;
  state: JobState;
  /** What is done of what there is to do, in rows; total null: not known yet. */
  done: number;
  total: number | null;
  stage: string | null;
  /** Its kind's own note of where it was; null: at the start. */
  checkpoint: Record<string, unknown> | null;
  /** What it found, by stage, when it is done (and so far, while it runs). */
  report: Record<string, unknown> | null;
  error: string | null;
  createdAt: number;
  finishedAt: number | null;
}

export interface Page<T> {
  data: T[];
  hasMore: boolean;
}

/** `after`: the id (of examples and refused rows, the seq) after which the page begins. */
export interface PageOptions {
  after?: string | number;
  limit: number;
}

export interface ExampleFilter {
  contribution?: string;
  /** Only those that a snapshot would have now (accepted, not set aside), or only those set aside. */
  standing?: 'kept' | 'set_aside';
  hash?: string;
}

/** An example that has a text of a hash, as it came or as a curation masked it. */
export interface Copy {
  seq: number;
  contribution: string;
  contributor: string;
  state: Contribution['state'];
  /** False: it was erased. */
  hasText: boolean;
}

/** All writes are durable when they resolve. What does not exist is undefined; what cannot be is thrown as ColophonError. */
export interface DatanetStore {
  // Datanets and who may do what in them
  createDatanet(datanet: Datanet): Promise<void>; // throws datanet_exists
  updateDatanet(id: string, change: Partial<Datanet>): Promise<void>;
  deleteDatanet(id: string): Promise<void>;
  datanet(name: string): Promise<Datanet | undefined>;
  datanets(page: PageOptions): Promise<Page<Datanet>>;
  setRole(datanet: string, tenant: string, role: Role | null): Promise<void>;
  role(datanet: string, tenant: string): Promise<Role | undefined>;
  roles(datanet: string): Promise<Array<{ tenant: string; role: Role }>>;

  createContributor(contributor: Contributor): Promise<void>;
  updateContributor(
    id: string,
    change: Pick<Partial<Contributor>, 'name' | 'payoutAddress' | 'publicKey'>,
  ): Promise<void>;
  contributor(id: string): Promise<Contributor | undefined>;
  contributors(filter: { tenant?: string; datanet?: string }, page: PageOptions): Promise<Page<Contributor>>;

  // Contributions
  createContribution(contribution: Contribution): Promise<void>;
  contribution(id: string): Promise<Contribution | undefined>;
  contributions(
    filter: { datanet: string; state?: Contribution['state']; contributor?: string; sha256?: string },
    page: PageOptions,
  ): Promise<Page<Contribution>>;
  /** Changes it only while it is in one of the states `from`; false where it is not. */
  moveContribution(
    id: string,
    from: Contribution['state'][],
    change: Partial<Contribution>,
  ): Promise<boolean>;
  /**
   * Withdraws it, from any state, and notes in the same transaction that its texts are to go (`withdrawals`); false where it was
   * withdrawn before.
   */
  withdrawContribution(id: string, change: Pick<Contribution, 'reason' | 'reviewedAt'>): Promise<boolean>;
  /** Withdrawn ones whose texts are not all gone yet. */
  withdrawals(): Promise<string[]>;
  /** The texts of one are gone, from the store and from the blobs. */
  withdrawalEnded(id: string): Promise<void>;
  /** Bytes of a contributor's contributions that are not withdrawn, rejected or failed. */
  contributedBytes(datanet: string, contributor: string): Promise<number>;

  // Rows. Written in batches while a contribution is checked; a batch and the job's checkpoint are one transaction.
  addRows(
    contribution: string,
    rows: { examples: Array<Omit<StoredExample, 'seq'>>; refused: RefusedRow[] },
    job: { id: string; checkpoint: Record<string, unknown>; done: number },
  ): Promise<void>;
  /** Those of a contribution, to begin anew. Returns the blobs that nobody needs any more. */
  deleteRows(contribution: string): Promise<string[]>;
  example(datanet: string, seq: number): Promise<StoredExample | undefined>;
  examples(datanet: string, filter: ExampleFilter, page: PageOptions): Promise<Page<StoredExample>>;
  /** Every example of accepted contributions that has text, by seq, in batches. */
  accepted(datanet: string, after?: number): AsyncIterable<StoredExample[]>;
  refusedRows(contribution: string, page: PageOptions): Promise<Page<RefusedRow & { seq: number }>>;
  /** Moves texts to other places, or (null) takes them away for good. Returns the blobs that nobody needs any more. */
  replaceExamples(places: Array<{ datanet: string; seq: number; place: Place | null }>): Promise<string[]>;
  /** Whether a blob is needed: by a contribution that is not withdrawn, a text, a snapshot or a job that goes on. */
  usesBlob(sha256: string): Promise<boolean>;

  // Erasing. What takes texts away notes their blobs; store/erase_texts.ts, over the methods below, then makes them go.
  /** Takes away every text that came with a contribution: of examples, of their masks, and of refused rows. Hashes stay. */
  eraseContribution(contribution: string): Promise<void>;
  /** Those of a Datanet, by seq, in batches. The state is the one at the moment at which the example was there. */
  copiesOf(datanet: string, hash: string): AsyncIterable<Copy[]>;
  /**
   * Takes the texts of examples away and notes in the same transaction that they are to go, with the files in which they came:
   * the rows of a checked file stand each on its own. Returns how many still had one; where none had, nothing is noted.
   */
  withdrawExamples(withdrawal: Omit<ExampleWithdrawal, 'id' | 'examples'>, seqs: number[]): Promise<number>;
  exampleWithdrawals(datanet: string, page: PageOptions): Promise<Page<ExampleWithdrawal>>;
  /** Ids of those whose texts are not all gone yet. */
  openExampleWithdrawals(): Promise<number[]>;
  /** The texts of these are gone, from the store and from the blobs. */
  exampleWithdrawalsEnded(ids: number[]): Promise<void>;
  /** Makes what was deleted go from the database's files. */
  scrub(): Promise<void>;
  /** Blobs with text in them that was taken away. */
  erasures(): Promise<string[]>;
  /** That text is gone. */
  erased(blob: string): Promise<void>;
  /** Stretches of a blob that are still texts, each once, by offset, in batches. */
  placesIn(blob: string): AsyncIterable<Place[]>;
  /** The texts of a blob at the offsets `from` now lie in another at `to`: of examples and masks alike. */
  moveTexts(blob: string, to: string, moves: Array<{ from: number; to: number }>): Promise<void>;

  // Curation. Of one job; the latest done one counts unless a snapshot names another.
  /** A mask of a text that was erased meanwhile is left out, and its blob noted among the erasures. */
  addVerdicts(
    job: string,
    verdicts: Verdict[],
    progress: {
      checkpoint: Record<string, unknown>;
      done: number;
      stage: string;
      report: Record<string, unknown>;
    },
  ): Promise<void>;
  /** Takes all away that a job has found, to begin anew; the blobs of its masks are noted among the erasures. */
  clearVerdicts(job: string): Promise<void>;
  latestCuration(datanet: string): Promise<Job | undefined>;
  /** Of each example in the order in which they were given. `limit` counts examples: their verdicts stay together. */
  verdicts(
    job: string,
    filter: { stage?: string; action?: Verdict['action']; seq?: number },
    page: PageOptions,
  ): Promise<Page<Verdict>>;
  /** A curator's word on one example, which stands above every stage's; null takes it back. */
  override(
    datanet: string,
    seq: number,
    word: { keep: boolean; by: string; reason: string } | null,
  ): Promise<void>;
  overrides(
    datanet: string,
    page: PageOptions,
  ): Promise<Page<{ seq: number; keep: boolean; by: string; reason: string; at: number }>>;
  /** What a snapshot has by a curation (null: none): accepted, with text, neither quarantined nor a duplicate. By seq. */
  kept(
    datanet: string,
    curation: string | null,
  ): AsyncIterable<Array<StoredExample & { cluster: number | null }>>;

  // Snapshots
  /** Throws snapshot_exists where the same root is there with other settings; does nothing where it is the same. */
  createSnapshot(snapshot: Snapshot): Promise<void>;
  snapshot(datanet: string, id: string): Promise<Snapshot | undefined>;
  snapshots(datanet: string, page: PageOptions): Promise<Page<Snapshot>>;
  latestSnapshot(datanet: string): Promise<Snapshot | undefined>;
  /** Texts of a snapshot's entries, null where erased, in their order; by hash and contribution. */
  placesOf(datanet: string, entries: SnapshotEntry[]): Promise<Array<TextPlace | null>>;

  // Jobs
  createJob(job: Job): Promise<void>;
  job(id: string): Promise<Job | undefined>;
  jobs(filter: { datanet?: string; state?: JobState[] }, page: PageOptions): Promise<Page<Job>>;
  updateJob(id: string, change: Partial<Job>, onlyIn?: JobState[]): Promise<boolean>;

  close(): Promise<void>;
}
