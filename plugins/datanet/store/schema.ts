/**
 * The tables of a Datanet store, the same in SQLite and PostgreSQL, and the migrations that make them: each is run once, in
 * order, all in one transaction, when a store is opened.
 *
 * The large tables refer to others by `ord`, a number that counts entries in the order in which they came: a million examples
 * would otherwise repeat three ids each. Examples have no text here, only its place in a blob.
 */
import { type Generated, type Kysely, sql } from 'kysely';
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { Contribution, Contributor, Datanet, Role, Snapshot } from '../model.ts';
import type { Job, Verdict } from './datanet_store.ts';

export type SqlKind = 'sqlite' | 'postgres';

/** Fields of an entity as its codec stores them. */
type Entity<T> = { [Name in keyof T]: string | number | Uint8Array | null } & { ord: Generated<number> };

export interface Tables {
  /** `examples`: seq of the latest example. `gone`: it is being deleted, and nobody sees it any more. */
  datanets: Entity<Datanet> & { examples: Generated<number>; gone: Generated<number> };
  roles: { datanet: string; tenant: string; role: Role };
  contributors: Entity<Contributor>;
  /** `fileGone`: its file as it came is not needed any more, as an example of it was withdrawn. */
  contributions: Entity<Contribution> & { fileGone: Generated<number> };
  blobs: { ord: Generated<number>; sha256: Uint8Array };
  /** Contributions that were withdrawn and whose texts are not all gone yet. */
  withdrawals: { contribution: number };
  /** Examples of one hash that were withdrawn at once. `ended`: their texts are all gone. */
  exampleWithdrawals: {
    ord: Generated<number>;
    datanet: number;
    hash: Uint8Array;
    by: string;
    reason: string | null;
    examples: number;
    at: number;
    ended: Generated<number>;
  };
  /** Blobs that have text in them which nobody may see any more. */
  erasures: { blob: number };
  examples: {
    datanet: number;
    seq: number;
    contribution: number;
    line: number;
    hash: Uint8Array;
    originalHash: Uint8Array | null;
    source: string | null;
    group: string | null;
    blob: number | null;
    offset: number | null;
    bytes: number | null;
  };
  refusedRows: {
    contribution: number;
    seq: number;
    line: number;
    field: string | null;
    reason: string;
    raw: string;
  };
  /** `n` counts the verdicts of a job in the order in which they came; `mask…`: the hash and the place of the new content. */
  verdicts: {
    job: number;
    seq: number;
    stage: string;
    action: Verdict['action'];
    n: number;
    reason: string;
    canonical: number | null;
    maskHash: Uint8Array | null;
    maskBlob: number | null;
    maskOffset: number | null;
    maskBytes: number | null;
  };
  overrides: { datanet: number; seq: number; keep: number; by: string; reason: string; at: number };
  snapshots: Entity<Snapshot>;
  /** `verdicts`: how many it has given. */
  jobs: Entity<Job> & { verdicts: Generated<number> };
}

/** Of whole numbers, of bytes, and the column of an entity's number. */
const types: Record<SqlKind, [int: string, bytes: string, ord: string]> = {
  sqlite: ['INTEGER', 'BLOB', 'ord INTEGER PRIMARY KEY AUTOINCREMENT'],
  postgres: ['bigint', 'bytea', 'ord bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY'],
};

const migrations: Array<(kind: SqlKind) => string[]> = [
  (kind) => {
    const [int, bytes, ord] = types[kind];
    const strict = kind === 'sqlite' ? 'STRICT' : '';
    // Rows of one table in the order of their key, without a second copy of it.
    const keyed = kind === 'sqlite' ? 'STRICT, WITHOUT ROWID' : '';
    return [
      `CREATE TABLE datanets (
        ${ord}, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE, domain TEXT NOT NULL, description TEXT NOT NULL,
        kinds TEXT NOT NULL, "schema" TEXT, "licencePolicy" TEXT NOT NULL, owner TEXT NOT NULL, open ${int} NOT NULL,
        "contributorBytes" ${int} NOT NULL, "createdAt" ${int} NOT NULL,
        examples ${int} NOT NULL DEFAULT 0, gone ${int} NOT NULL DEFAULT 0) ${strict}`,
      `CREATE TABLE roles (
        datanet TEXT NOT NULL REFERENCES datanets (id), tenant TEXT NOT NULL, role TEXT NOT NULL,
        PRIMARY KEY (datanet, tenant)) ${keyed}`,
      `CREATE TABLE contributors (
        ${ord}, id TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, name TEXT NOT NULL, "payoutAddress" TEXT,
        "publicKey" TEXT, "createdAt" ${int} NOT NULL) ${strict}`,
      `CREATE INDEX "contributorsByTenant" ON contributors (tenant)`,
      `CREATE TABLE contributions (
        ${ord}, id TEXT NOT NULL UNIQUE, datanet TEXT NOT NULL REFERENCES datanets (id),
        contributor TEXT NOT NULL REFERENCES contributors (id), filename TEXT NOT NULL, format TEXT NOT NULL,
        sha256 ${bytes} NOT NULL, bytes ${int} NOT NULL, licence TEXT NOT NULL, source TEXT NOT NULL,
        rights TEXT NOT NULL, signature TEXT, state TEXT NOT NULL, reviewer TEXT, reason TEXT, rows ${int} NOT NULL,
        refused ${int} NOT NULL, "createdAt" ${int} NOT NULL, "reviewedAt" ${int}) ${strict}`,
      'CREATE INDEX "contributionsByDatanet" ON contributions (datanet, ord)',
      'CREATE INDEX "contributionsByContributor" ON contributions (contributor, datanet)',
      'CREATE INDEX "contributionsByUpload" ON contributions (sha256)',
      `CREATE TABLE blobs (${ord}, sha256 ${bytes} NOT NULL UNIQUE) ${strict}`,
      `CREATE TABLE erasures (blob ${int} PRIMARY KEY REFERENCES blobs (ord)) ${strict}`,
      `CREATE TABLE examples (
        datanet ${int} NOT NULL REFERENCES datanets (ord), seq ${int} NOT NULL,
        contribution ${int} NOT NULL REFERENCES contributions (ord), line ${int} NOT NULL, hash ${bytes} NOT NULL,
        "originalHash" ${bytes}, source TEXT, "group" TEXT, blob ${int} REFERENCES blobs (ord), "offset" ${int},
        bytes ${int}, PRIMARY KEY (datanet, seq)) ${keyed}`,
      'CREATE INDEX "examplesByContribution" ON examples (contribution, seq)',
      // None by hash alone: each new row would dirty a page of its own, seven times the cost of all else (measured).
      'CREATE INDEX "examplesByLine" ON examples (contribution, line, hash)',
      'CREATE INDEX "examplesByBlob" ON examples (blob, "offset") WHERE blob IS NOT NULL',
      `CREATE TABLE "refusedRows" (
        contribution ${int} NOT NULL REFERENCES contributions (ord), seq ${int} NOT NULL, line ${int} NOT NULL,
        field TEXT, reason TEXT NOT NULL, raw TEXT NOT NULL, PRIMARY KEY (contribution, seq)) ${strict}`,
      `CREATE TABLE jobs (
        ${ord}, id TEXT NOT NULL UNIQUE, datanet TEXT NOT NULL REFERENCES datanets (id), kind TEXT NOT NULL,
        params TEXT NOT NULL, state TEXT NOT NULL, done ${int} NOT NULL, total ${int}, stage TEXT, checkpoint TEXT,
        report TEXT, error TEXT, "createdAt" ${int} NOT NULL, "finishedAt" ${int},
        verdicts ${int} NOT NULL DEFAULT 0) ${strict}`,
      'CREATE INDEX "jobsByDatanet" ON jobs (datanet, ord)',
      'CREATE INDEX "jobsByState" ON jobs (state)',
      `CREATE TABLE verdicts (
        job ${int} NOT NULL REFERENCES jobs (ord), seq ${int} NOT NULL, stage TEXT NOT NULL, action TEXT NOT NULL,
        n ${int} NOT NULL, reason TEXT NOT NULL, canonical ${int}, "maskHash" ${bytes},
        "maskBlob" ${int} REFERENCES blobs (ord), "maskOffset" ${int}, "maskBytes" ${int},
        PRIMARY KEY (job, seq, stage, action)) ${keyed}`,
      'CREATE INDEX "verdictsByCanonical" ON verdicts (job, canonical) WHERE canonical IS NOT NULL',
      'CREATE INDEX "masksByBlob" ON verdicts ("maskBlob", "maskOffset") WHERE "maskBlob" IS NOT NULL',
      `CREATE TABLE overrides (
        datanet ${int} NOT NULL REFERENCES datanets (ord), seq ${int} NOT NULL, keep ${int} NOT NULL,
        by TEXT NOT NULL, reason TEXT NOT NULL, at ${int} NOT NULL, PRIMARY KEY (datanet, seq)) ${keyed}`,
      `CREATE TABLE snapshots (
        ${ord}, id TEXT NOT NULL, datanet TEXT NOT NULL REFERENCES datanets (id), parent TEXT, settings TEXT NOT NULL,
        counts TEXT NOT NULL, manifest ${bytes} NOT NULL, "createdAt" ${int} NOT NULL, UNIQUE (datanet, id)) ${strict}`,
      'CREATE INDEX "snapshotsByManifest" ON snapshots (manifest)',
    ];
  },
  (kind) => [
    `CREATE TABLE withdrawals (
      contribution ${kind === 'sqlite' ? 'INTEGER' : 'bigint'} PRIMARY KEY REFERENCES contributions (ord))
      ${kind === 'sqlite' ? 'STRICT' : ''}`,
    // An earlier version did not note which ones it had ended: each is ended once more.
    `INSERT INTO withdrawals SELECT ord FROM contributions WHERE state = 'withdrawn'`,
    // Nor did it go on with checks that a fault of the server had ended.
    `UPDATE jobs SET state = 'queued', "finishedAt" = NULL WHERE kind = 'check' AND state = 'failed'
      AND EXISTS (SELECT 1 FROM contributions AS c WHERE c.state = 'submitted' AND jobs.params LIKE '%' || c.id || '%')`,
    // PostgreSQL keeps samples of a column's values beside the table: none of texts, which are to go when they are erased.
    ...(kind === 'sqlite'
      ? []
      : [
          ['examples', 'source'],
          ['examples', 'group'],
          ['refusedRows', 'raw'],
          ['refusedRows', 'reason'],
          ['verdicts', 'reason'],
        ].map(([table, column]) => `ALTER TABLE "${table}" ALTER COLUMN "${column}" SET STATISTICS 0`)),
  ],
  (kind) => [
    'ALTER TABLE contributions ADD COLUMN "publicKey" TEXT',
    `ALTER TABLE snapshots ADD COLUMN provenance ${kind === 'sqlite' ? 'BLOB' : 'bytea'}`,
    // Keys could not be changed before: what is signed is signed by the one that is there.
    `UPDATE contributions SET "publicKey" = (SELECT "publicKey" FROM contributors AS c WHERE c.id = contributor)
      WHERE signature IS NOT NULL`,
  ],
  () => [`ALTER TABLE datanets ADD COLUMN curation TEXT NOT NULL DEFAULT '{}'`],
  (kind) => {
    const [int, bytes, ord] = types[kind];
    return [
      `ALTER TABLE contributions ADD COLUMN "fileGone" ${int} NOT NULL DEFAULT 0`,
      `CREATE TABLE "exampleWithdrawals" (
        ${ord}, datanet ${int} NOT NULL REFERENCES datanets (ord), hash ${bytes} NOT NULL, by TEXT NOT NULL,
        reason TEXT, examples ${int} NOT NULL, at ${int} NOT NULL, ended ${int} NOT NULL DEFAULT 0)
        ${kind === 'sqlite' ? 'STRICT' : ''}`,
      'CREATE INDEX "exampleWithdrawalsByDatanet" ON "exampleWithdrawals" (datanet, ord)',
    ];
  },
];

/** Brings a database to the newest schema. Two processes that open it at once wait for one another. */
export async function migrate(db: Kysely<Tables>, kind: SqlKind): Promise<void> {
  await db.connection().execute(async (connection) => {
    const run = (text: string) => sql.raw(text).execute(connection);
    // A lock from the start: a reader that turns writer would fail where another wrote in between.
    await run(kind === 'sqlite' ? 'BEGIN IMMEDIATE' : 'BEGIN');
    try {
      if (kind === 'postgres') await run("SELECT pg_advisory_xact_lock(hashtext('colophon datanet schema'))");
      await run('CREATE TABLE IF NOT EXISTS "datanetSchema" (version INTEGER NOT NULL)');
      const { rows } = await sql<{ version: number }>`SELECT version FROM "datanetSchema"`.execute(
        connection,
      );
      const version = rows[0]?.version ?? 0;
      if (version > migrations.length) {
        throw new ColophonError(
          `The Datanet store has schema ${version}, made by a later version of Colophon; this one knows ${migrations.length}. Run the later version, or name another store.`,
          { type: 'server_error', code: 'internal_error' },
        );
      }
      for (const statement of migrations.slice(version).flatMap((migration) => migration(kind)))
        await run(statement);
      await run('DELETE FROM "datanetSchema"');
      await run(`INSERT INTO "datanetSchema" VALUES (${migrations.length})`);
      await run('COMMIT');
    } catch (error) {
      await run('ROLLBACK').catch(() => {});
      throw error;
    }
  });
}
