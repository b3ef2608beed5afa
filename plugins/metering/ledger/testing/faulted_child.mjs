/**
 * A server's use of the ledger, without the server: opens it, adds batches in transactions of full durability, signs, publishes, and
 * says on stdout what is durable. Plain JavaScript over the build: Node 20 starts no process from TypeScript.
 *
 *   faulted_child.mjs FOLDER RUN SIZE...     a batch of each size; entries are named for the run and their index
 */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { mustStop } from '../../../../dist/plugins/metering/durable_files.js';
import { KeyFolder } from '../../../../dist/plugins/metering/keys/key_folder.js';
import { Ledger } from '../../../../dist/plugins/metering/ledger/ledger.js';

const [folder, run, ...sizes] = process.argv.slice(2);
const say = (...words) => writeSync(1, `${words.join(' ')}\n`);

/** What the disk has no room for is refused; after anything else nobody knows what it has. */
function orStop(what, act) {
  try {
    return act();
  } catch (error) {
    say(mustStop(error) ? 'stopped' : 'refused', what, error.code, error.message);
    if (mustStop(error)) process.exit(3);
    if (!['SQLITE_FULL', 'ENOSPC'].includes(error.code)) process.exit(4);
    return undefined;
  }
}

const opened = orStop('open', () => {
  const keys = new KeyFolder(join(folder, 'keys'), 'log.example/ledger');
  const db = new Database(join(folder, 'ledger.db'));
  db.pragma('journal_mode = WAL');
  db.pragma('synchronous = FULL');
  // SQLite hides the failures of the checkpoints that it makes by itself.
  db.pragma('wal_autocheckpoint = 0');
  // What the last process wrote and did not sync is written again, so that what was read of it stays.
  db.pragma('wal_checkpoint(TRUNCATE)');
  return { db, keys, ledger: new Ledger(db, join(folder, 'ledger'), keys) };
});
if (!opened) process.exit(5);
const { db, keys, ledger } = opened;
say('keys', Buffer.from(keys.known.toVkeys()).toString('base64'));

for (const size of sizes.map(Number)) {
  const first = orStop('commit', () =>
    db.transaction(() => {
      const next = ledger.size;
      ledger.append(
        Array.from({ length: size }, (_, at) => {
          const digest = createHash('sha256')
            .update(`${run} ${next + at}`)
            .digest('hex');
          return Buffer.from(`receipt sha256:${digest}`);
        }),
      );
      ledger.checkpoint();
      return next;
    })(),
  );
  if (first !== undefined) say('logged', first, size);
  // With nothing signed yet there is nothing to publish.
  if (ledger.size === 0) continue;
  const published = orStop('publish', () => ledger.publish());
  if (published) say('published', Buffer.from(published.text).toString('base64'));
}
orStop('checkpoint', () => db.pragma('wal_checkpoint(TRUNCATE)'));
say('done', ledger.size);
