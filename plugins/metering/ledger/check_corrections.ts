/** What a ledger's lines alone say of corrections: each is of a receipt before it, and no receipt has two. */
import type { PublishedLedger } from './published.ts';
import { tileWidth, widthIn } from './tiles.ts';

/** Reads every entry; gives how many corrections there are. Throws an Error with a sentence at the first that cannot be. */
export function checkCorrections(published: PublishedLedger, size: number): number {
  /** By the entry of the receipt. */
  const corrections = new Map<number, number>();
  const line = (index: number) => {
    const number = Math.floor(index / tileWidth);
    return published.bundle(number, widthIn(size, 'entries', number))[index % tileWidth]!.toString();
  };
  for (let number = 0; ; number++) {
    const width = widthIn(size, 'entries', number);
    if (width === 0) return corrections.size;
    for (const [at, entry] of published.bundle(number, width).entries()) {
      const index = number * tileWidth + at;
      if (!entry.subarray(0, 11).equals(prefix)) continue;
      const receipt = Number(pattern.exec(entry.toString())?.[1] ?? Number.NaN);
      if (!(receipt < index) || !line(receipt).startsWith('receipt '))
        throw new Error(`Entry ${index}, "${entry}", is a correction without a receipt before it.`);
      const other = corrections.get(receipt);
      if (other !== undefined)
        throw new Error(
          `The receipt that is entry ${receipt} has two corrections: the entries ${other} and ${index}.`,
        );
      corrections.set(receipt, index);
    }
  }
}

const prefix = Buffer.from('correction ');
const pattern = /^correction sha256:[0-9a-f]{64} of (0|[1-9]\d{0,14})$/;
