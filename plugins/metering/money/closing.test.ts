/** What each account gets over epochs. */
import { describe, expect, test } from 'vitest';
import { distributionOf, payoutFault } from './distribution.ts';
import { type Epoch, epochFault } from './epoch.ts';
import { addresses, closeNow, testBooks } from './testing/books.ts';

const byAccount = ({ statements }: Epoch) =>
  Object.fromEntries(statements.map(({ account, ...rest }) => [account, rest]));
const pay = (books: ReturnType<typeof testBooks>['books'], account: string, at: number | null) =>
  books.setAddress({ account, address: at === null ? null : addresses[at]!, since: 1, by: 'operator' });

test('what is below the threshold, or has no address, is carried until it is paid', () => {
  const { books, receipt, close } = testBooks({ threshold: 100 });
  pay(books, 'contributor:ada', 0);
  pay(books, 'contributor:bo', 1);
  receipt({ 'contributor:ada': 60, 'contributor:bo': 100, platform: 7 });
  receipt({ 'contributor:ada': 39 });
  receipt({});
  const first = close();
  expect(first).toMatchObject({
    epoch: 1,
    currency: 'microUSD',
    entries: { from: 0, to: 3 },
    previous: null,
    threshold: '100',
    totals: { receipts: 3, owed: '206', earned: '206', paid: '100', carried_out: '106' },
  });
  expect(byAccount(first)).toEqual({
    'contributor:ada': {
      receipts: 2,
      carried_in: '0',
      earned: '99',
      adjusted: '0',
      paid: '0',
      carried_out: '99',
      address: addresses[0],
    },
    'contributor:bo': expect.objectContaining({ receipts: 1, earned: '100', paid: '100', carried_out: '0' }),
    platform: expect.objectContaining({ paid: '0', carried_out: '7', address: null }),
  });
  receipt({ 'contributor:ada': 1 });
  const second = close();
  // The epoch's own entry, 3, is no receipt.
  expect(second.entries).toEqual({ from: 3, to: 5 });
  expect(second.previous).toBe(books.epoch(1).sha256);
  expect(byAccount(second)).toMatchObject({
    'contributor:ada': { carried_in: '99', earned: '1', paid: '100', carried_out: '0' },
    platform: { receipts: 0, carried_in: '7', carried_out: '7' },
  });
  expect(byAccount(second)).not.toHaveProperty('contributor:bo');
  expect(close().statements).toEqual([expect.objectContaining({ account: 'platform', carried_out: '7' })]);
});

test('accounts with one address are one leaf: a contract pays an address once', () => {
  const { books, receipt, close } = testBooks();
  pay(books, 'contributor:ada', 0);
  pay(books, 'owner:law', 0);
  pay(books, 'pool', 1);
  receipt({ 'contributor:ada': 5, 'owner:law': 5, pool: 3 });
  const { distribution, totals } = close();
  expect(distribution?.addresses).toBe(2);
  const file = books.distribution(1)!;
  expect(file.values.map(({ value }) => value)).toEqual([
    [addresses[0], '10'],
    [addresses[1], '3'],
  ]);
  const proof = books.proof(1, 'owner:law');
  expect(proof).toMatchObject({ account: 'owner:law', paid: '5', amount: '10', root: distribution?.root });
  expect(payoutFault(proof, distribution?.root)).toBeNull();
  expect(totals.paid).toBe('13');
  expect(() => books.proof(1, 'platform')).toThrow("The account 'platform' is not paid in epoch 1.");
  expect(() => books.proof(2, 'pool')).toThrow('There is no closed epoch 2.');
});

describe('disputes', () => {
  const open = (books: ReturnType<typeof testBooks>['books'], receipt: string) =>
    books.openDispute({ receipt, reason: 'Not mine.', by: 'ada', at: 5 }).id;
  const resolve = (books: ReturnType<typeof testBooks>['books'], id: number, state: 'rejected' | 'upheld') =>
    books.resolveDispute({ id, state, resolution: 'Looked at.', by: 'operator', at: 6 });

  test('before its epoch closes a receipt is held, and paid in the next where the dispute is rejected', () => {
    const { books, receipt, close } = testBooks();
    pay(books, 'contributor:ada', 0);
    const held = receipt({ 'contributor:ada': 40, platform: 2 });
    receipt({ 'contributor:ada': 10 });
    const id = open(books, held);
    const first = close();
    expect(byAccount(first)['contributor:ada']).toMatchObject({ receipts: 1, earned: '10', paid: '10' });
    expect(byAccount(first)).not.toHaveProperty('platform');
    expect(first.totals).toMatchObject({ receipts: 2, owed: '52', earned: '10', held_out: '42' });
    expect(first.disputes).toEqual([
      {
        dispute: id,
        receipt: held,
        state: 'open',
        in: 'earned',
        amounts: [
          { account: 'contributor:ada', units: '-40' },
          { account: 'platform', units: '-2' },
        ],
      },
    ]);
    expect(close()).toMatchObject({ disputes: [], totals: { held_in: '42', held_out: '42' } });
    resolve(books, id, 'rejected');
    const third = close();
    expect(byAccount(third)['contributor:ada']).toMatchObject({ receipts: 0, adjusted: '40', paid: '40' });
    expect(third.disputes).toMatchObject([{ dispute: id, state: 'rejected', in: 'adjusted' }]);
    expect(third.totals).toMatchObject({ held_in: '42', held_out: '0', withheld_out: '0' });
  });

  test('what was paid is taken back from what comes, never below 0, and given back where it was wrong', () => {
    const { books, receipt, close } = testBooks();
    pay(books, 'contributor:ada', 0);
    const paid = receipt({ 'contributor:ada': 50 });
    expect(close().totals.paid).toBe('50');
    const id = open(books, paid);
    receipt({ 'contributor:ada': 20 });
    expect(byAccount(close())['contributor:ada']).toMatchObject({
      earned: '20',
      adjusted: '-50',
      paid: '0',
      carried_out: '-30',
    });
    resolve(books, id, 'upheld');
    receipt({ 'contributor:ada': 45 });
    const third = close();
    expect(byAccount(third)['contributor:ada']).toMatchObject({ carried_in: '-30', paid: '15' });
    expect(third.disputes).toMatchObject([{ state: 'upheld', in: 'nothing', amounts: [] }]);
    expect(third.totals).toMatchObject({
      held_in: '50',
      held_out: '0',
      withheld_in: '0',
      withheld_out: '50',
    });
    const again = open(books, paid);
    resolve(books, again, 'rejected');
    expect(byAccount(close())['contributor:ada']).toMatchObject({ adjusted: '50', paid: '50' });
  });

  test('one that is opened and rejected between two closes leaves a trace and no more', () => {
    const { books, receipt, close } = testBooks();
    pay(books, 'pool', 1);
    const id = open(books, receipt({ pool: 9 }));
    resolve(books, id, 'rejected');
    expect(close()).toMatchObject({
      totals: { earned: '9', paid: '9' },
      disputes: [{ dispute: id, state: 'rejected', in: 'nothing', amounts: [] }],
    });
  });

  test('of an unknown receipt, of one in dispute, and of one that is resolved', () => {
    const { books, receipt } = testBooks();
    const id = open(books, receipt({ pool: 1 }));
    expect(() => open(books, 'chatcmpl-x')).toThrow("There is no receipt 'chatcmpl-x'.");
    expect(() => open(books, 'chatcmpl-0')).toThrow('is in dispute already: resolve dispute 1 first.');
    resolve(books, id, 'upheld');
    expect(() => resolve(books, id, 'rejected')).toThrow('Dispute 1 is upheld already.');
    expect(() => books.dispute(7)).toThrow('There is no dispute 7.');
    expect(books.disputes({ limit: 5 })).toMatchObject([{ id, state: 'upheld', resolution: 'Looked at.' }]);
    expect(books.disputes({ limit: 5, state: 'open' })).toEqual([]);
    expect(books.disputes({ limit: 5, before: id })).toEqual([]);
  });
});

describe('what is counted', () => {
  test('does not change, go, or come late', () => {
    const { db, books, receipt } = testBooks();
    receipt({ pool: 1 });
    receipt({ pool: 2 });
    db.exec(`UPDATE receipts SET owed = '[]' WHERE idx = 1`);
    expect(books.count(1)).toBe(1);
    db.exec(`UPDATE receipts SET envelope = NULL`);
    expect(() => db.exec(`UPDATE receipts SET owed = '[]' WHERE idx = 0`)).toThrow('does not change');
    expect(() => db.exec('DELETE FROM receipts WHERE idx = 0')).toThrow('does not go');
    db.exec(`UPDATE receipts SET owed = '[{"account":"pool","units":5}]' WHERE idx = 1`);
    closeNow(books, 1);
    expect(books.account('pool')).toMatchObject({ balance: '6', accruing: { receipts: 0, units: '0' } });
    expect(() => db.exec(`INSERT INTO receipts (idx, id, owed) VALUES (1, 'x', '[]')`)).toThrow(
      'came before',
    );
    expect(() => db.exec(`INSERT INTO receipts (idx, id, owed) VALUES (0, 'x', '[]')`)).toThrow(
      'came before',
    );
  });

  test('is in one currency', () => {
    const { db, receipt } = testBooks({ currency: 'unit' });
    receipt({});
    testBooks({ currency: 'microUSD' }, db);
    db.exec(`INSERT INTO receipts (idx, id, owed) VALUES (9, 'x', '[{"account":"pool","units":5}]')`);
    testBooks({ currency: 'microUSD' }, db);
    expect(() => testBooks({ currency: 'unit' }, db)).toThrow(
      "The books are kept in 'microUSD', and fees.currency is 'unit'.",
    );
  });
});

test('an epoch is frozen once, and finished with the distribution of what it pays', () => {
  const { books, receipt } = testBooks();
  pay(books, 'pool', 0);
  receipt({ pool: 5 });
  const frozen = books.freeze(1);
  expect(frozen).toEqual({ epoch: 1, payees: [{ address: addresses[0], amount: '5' }] });
  receipt({ pool: 7 });
  expect(books.freeze(2)).toEqual(frozen);
  expect(books.unfinished()).toEqual(frozen);
  expect(books.epochs({ limit: 5 })).toEqual([]);
  expect(() => books.epoch(1)).toThrow('There is no closed epoch 1.');
  expect(() => books.proof(1, 'pool')).toThrow('There is no closed epoch 1.');
  expect(() => books.finish(1, null)).toThrow('The distribution is not of what the epoch 1 pays.');
  expect(() => books.finish(2, null)).toThrow('The epoch 2 is not frozen.');
  const { epoch } = books.finish(1, distributionOf(frozen.payees)!.dump());
  expect(epoch).toMatchObject({ closed: 1, totals: { owed: '5', paid: '5' } });
  expect(books.unfinished()).toBeNull();
  expect(() => books.finish(1, null)).toThrow('The epoch 1 is not frozen.');
  expect(closeNow(books, 3).epoch).toMatchObject({ epoch: 2, closed: 3, totals: { owed: '7' } });
});

test('numbers that do not add up are found, whichever is changed', () => {
  const { books, receipt, close } = testBooks({ threshold: 5 });
  pay(books, 'contributor:ada', 0);
  pay(books, 'pool', 1);
  receipt({ 'contributor:ada': 50, platform: 4, pool: 9 });
  books.openDispute({ receipt: receipt({ pool: 3 }), reason: '', by: 'x', at: 1 });
  const epoch = close();
  expect(epochFault(epoch)).toBeNull();
  const numbers: Array<(changed: Epoch) => void> = [
    ...(
      [
        'owed',
        'earned',
        'adjusted',
        'carried_in',
        'paid',
        'carried_out',
        'held_in',
        'held_out',
        'withheld_in',
        'withheld_out',
      ] as const
    ).map((name) => (one: Epoch) => {
      one.totals[name] = String(BigInt(one.totals[name]) + 1n);
    }),
    ...(['carried_in', 'earned', 'adjusted', 'paid', 'carried_out'] as const).flatMap((name) =>
      epoch.statements.map((_, at) => (one: Epoch) => {
        const statement = one.statements[at]!;
        statement[name] = String(BigInt(statement[name]) + 1n);
      }),
    ),
    (one) => one.statements.reverse(),
    (one) => one.statements.pop(),
    (one) => {
      one.statements[0]!.address = addresses[2]!;
    },
    (one) => {
      one.distribution = null;
    },
    (one) => {
      one.distribution!.addresses++;
    },
    (one) => {
      one.threshold = '10';
    },
  ];
  for (const [at, change] of numbers.entries()) {
    const changed = structuredClone(epoch);
    change(changed);
    expect(epochFault(changed), `change ${at}`).toEqual(expect.any(String));
  }
});

describe('a correction', () => {
  const moved = { 'contributor:ada': -30n, 'contributor:bo': 30n };

  test('moves what is earned in its own epoch, and what was paid in an earlier one, never below 0', () => {
    const { books, receipt, correct, close } = testBooks();
    for (const [at, name] of ['ada', 'bo'].entries()) pay(books, `contributor:${name}`, at);
    const first = receipt({ 'contributor:ada': 50, platform: 4 });
    correct(first, moved);
    expect(books.count(10)).toBe(2);
    expect(books.account('contributor:ada').accruing).toEqual({ receipts: 1, corrections: 1, units: '20' });
    const second = receipt({ 'contributor:ada': 40 });
    const one = close();
    expect(one.totals).toMatchObject({ receipts: 2, corrections: 1, owed: '94', earned: '94', paid: '90' });
    expect(byAccount(one)).toMatchObject({
      'contributor:ada': { receipts: 2, earned: '90', corrections: 1, corrected: '-30', paid: '60' },
      'contributor:bo': { receipts: 0, earned: '0', corrections: 1, corrected: '30', paid: '30' },
      platform: { carried_out: '4' },
    });
    expect(byAccount(one).platform).not.toHaveProperty('corrected');
    // A hundred times its difference: the lot fell on it.
    correct(second, { 'contributor:ada': -300n, 'contributor:bo': 300n });
    const two = close();
    expect(byAccount(two)).toMatchObject({
      'contributor:ada': { receipts: 0, corrected: '-300', paid: '0', carried_out: '-300' },
      'contributor:bo': { corrected: '300', paid: '300' },
    });
    expect(books.statements('contributor:ada', { limit: 1 })).toMatchObject([
      { epoch: 2, corrections: 1, corrected: '-300' },
    ]);
    receipt({ 'contributor:ada': 310 });
    expect(byAccount(close())['contributor:ada']).toMatchObject({ carried_in: '-300', paid: '10' });
    expect(books.statements('contributor:ada', { limit: 1 })[0]).not.toHaveProperty('corrections');
  });

  test('of a receipt in dispute counts with it, or not at all', () => {
    const { books, receipt, correct, close } = testBooks();
    const disputed = receipt({ 'contributor:ada': 50 });
    const { id } = books.openDispute({ receipt: disputed, reason: '', by: 'bo', at: 1 });
    const entry = correct(disputed, moved);
    const back = [
      { account: 'contributor:ada', units: '30' },
      { account: 'contributor:bo', units: '-30' },
    ];
    const one = close();
    expect(one.corrections).toEqual([{ receipt: disputed, entry, in: 'corrected', amounts: back }]);
    expect(one).toMatchObject({ statements: [], totals: { corrections: 1, held_out: '50' } });
    expect(close().corrections).toBeUndefined();
    books.resolveDispute({ id, state: 'rejected', resolution: '', by: 'x', at: 1 });
    const three = close();
    expect(byAccount(three)).toMatchObject({
      'contributor:ada': { adjusted: '20', carried_out: '20' },
      'contributor:bo': { adjusted: '30', carried_out: '30' },
    });
    expect(three.corrections).toMatchObject([{ entry, in: 'adjusted' }]);
    const again = books.openDispute({ receipt: disputed, reason: '', by: 'bo', at: 1 });
    books.resolveDispute({ id: again.id, state: 'upheld', resolution: '', by: 'x', at: 1 });
    expect(byAccount(close())).toMatchObject({
      'contributor:ada': { adjusted: '-20', carried_out: '0' },
      'contributor:bo': { adjusted: '-30', carried_out: '0' },
    });
  });

  test('is counted for good, and there is one of a receipt', () => {
    const { db, books, receipt, correct } = testBooks();
    const id = receipt({ 'contributor:ada': 50 });
    correct(id, moved);
    expect(() => correct(id, moved)).toThrow('UNIQUE');
    closeNow(books, 1);
    expect(() => db.exec(`UPDATE corrections SET changes = '[]'`)).toThrow('does not change');
    expect(() => db.exec('DELETE FROM corrections')).toThrow('does not go');
    receipt({ 'contributor:ada': 50 }, 'late');
    const late = db.prepare(`SELECT idx FROM receipts WHERE id = 'late'`).pluck().get();
    expect(() =>
      db.exec(`INSERT INTO corrections (idx, receipt, changes) VALUES (1, ${late}, '[]')`),
    ).toThrow('came before');
  });

  test('that does not add up in an epoch is found, whichever number is changed', () => {
    const { receipt, correct, close } = testBooks();
    correct(receipt({ 'contributor:ada': 50 }), moved);
    const epoch = close();
    expect(epochFault(epoch)).toBeNull();
    for (const at of epoch.statements.keys()) {
      const changed = structuredClone(epoch);
      const one = changed.statements[at]!;
      for (const name of ['corrected', 'carried_out'] as const) one[name] = String(BigInt(one[name]!) + 1n);
      changed.totals.carried_out = String(BigInt(changed.totals.carried_out) + 1n);
      expect(epochFault(changed)).toBe('What corrections change sums to 1, and not to 0.');
    }
  });
});

test('books that were kept before there were corrections go on', () => {
  const { db, books, receipt, close } = testBooks();
  receipt({ pool: 5 });
  const before = close();
  for (const [table, column] of [
    ['payout_books', 'corrections'],
    ['payout_accruals', 'corrections'],
    ['payout_accruals', 'corrected'],
    ['payout_statements', 'corrections'],
    ['payout_statements', 'corrected'],
  ])
    db.exec(`ALTER TABLE ${table} DROP COLUMN ${column}`);
  db.exec('DROP TABLE corrections');
  const { books: later } = testBooks({}, db);
  expect(closeNow(later, 2).epoch).toMatchObject({ epoch: 2, totals: { carried_in: '5' } });
  expect(later.epoch(1).predicate).toEqual(before);
  expect(books.statements('pool', { limit: 5 })).toHaveLength(2);
});
