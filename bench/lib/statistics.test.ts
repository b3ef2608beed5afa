import { describe, expect, it } from 'vitest';
import { median, percentile, significant } from './statistics.ts';

describe('statistics', () => {
  it('takes the middle of an odd and of an even number of values', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([4, 1, 3, 100])).toBe(3.5);
    expect(() => median([])).toThrow('no values');
  });

  it('takes percentiles by nearest rank', () => {
    const values = Array.from({ length: 64 }, (_, i) => 64 - i);
    expect(percentile(values, 0.95)).toBe(61);
    expect(percentile(values, 1)).toBe(64);
    expect(percentile([7], 0.95)).toBe(7);
  });

  it('rounds to significant digits', () => {
    expect(significant(1234.56, 4)).toBe(1235);
    expect(significant(0.0123456, 3)).toBe(0.0123);
  });
});
