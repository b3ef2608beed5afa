/** A response in dispute is settled again: at once, and by a later start where the first did not come to it. */
import { expect, test } from 'vitest';
import { type PayoutStore, Payouts } from './payouts.ts';
import { testBooks } from './testing/books.ts';

test('a dispute has its response settled again, and so has a start what is open and not corrected', async () => {
  const { books, receipt, correct } = testBooks();
  const store = {
    // biome-ignore lint/suspicious/noExplicitAny: a call with what belongs to it
    books: async (call: keyof typeof books, ...given: any[]) => (books[call] as any)(...given),
  } as PayoutStore;
  const asked: string[] = [];
  const payouts = new Payouts(store, (response) => void asked.push(response));
  const ids = Array.from({ length: 103 }, () => receipt({ pool: 1 }));
  const open = (id: string) => payouts.openDispute({ receipt: id, reason: 'Not mine.', by: 'ada', at: 1 });
  for (const id of ids) expect(await open(id)).toMatchObject({ state: 'open', correction: null });
  expect(asked).toEqual(ids);
  await expect(open(ids[0]!)).rejects.toThrow('is in dispute already');
  expect(asked).toHaveLength(103);

  const entry = correct(ids[5]!, { pool: -1n, platform: 1n });
  const [first] = await payouts.books('disputes', { limit: 1, before: 7 });
  expect(first).toMatchObject({ receipt: ids[5], correction: entry });
  await payouts.books('resolveDispute', { id: 9, state: 'upheld', resolution: 'It is.', by: 'x', at: 2 });
  asked.length = 0;
  await payouts.recover(1);
  expect(asked.sort()).toEqual(ids.filter((id) => id !== ids[5] && id !== ids[8]).sort());
});
