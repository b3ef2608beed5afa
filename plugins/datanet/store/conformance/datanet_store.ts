/** What every DatanetStore must do, as vitest cases. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DatanetStore } from '../datanet_store.ts';
import { erasureCases } from './erasure.ts';
import { recordCases } from './records.ts';
import { rowCases } from './rows.ts';
import { all, newAccepted, newDatanet } from './samples.ts';

/** `open`: called more than once, of the same store; the kit closes what it gives. */
export function describeDatanetStore(name: string, open: () => Promise<DatanetStore>): void {
  describe(name, () => {
    let store: DatanetStore;
    beforeAll(async () => {
      store = await open();
    });
    afterAll(() => store.close());

    recordCases(() => store);
    rowCases(() => store);
    erasureCases(() => store);

    test('is opened twice at once, and both see what either writes', async () => {
      const [one, two] = await Promise.all([open(), open()]);
      try {
        const { id, name: called } = await newDatanet(one);
        await Promise.all([newAccepted(one, id, 1_500), newAccepted(two, id, 1_500)]);
        expect(await two.datanet(called)).toMatchObject({ id });
        expect(await all(one.accepted(id))).toEqual(await all(two.accepted(id)));
        expect((await all(one.accepted(id))).map(({ seq }) => seq)).toEqual(
          Array.from({ length: 3_000 }, (_, index) => index + 1),
        );
      } finally {
        await Promise.all([one.close(), two.close()]);
      }
    });

    test('lets other work have its turn while a loop reads and writes', async () => {
      const { id } = await newDatanet(store);
      let turns = 0;
      let counting = true;
      const count = () => {
        turns += 1;
        if (counting) setImmediate(count);
      };
      setImmediate(count);
      await newAccepted(store, id, 5_000);
      const written = turns;
      for await (const batch of store.accepted(id)) expect(batch.length).toBeLessThanOrEqual(1_000);
      counting = false;
      expect(written).toBeGreaterThanOrEqual(5);
      expect(turns - written).toBeGreaterThanOrEqual(5);
    });
  });
}
