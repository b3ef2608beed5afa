import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StopStrings } from './stop_strings.ts';

/** All the pieces through one matcher; what came out, piece by piece. */
function run(stops: string[], pieces: string[], include = false) {
  const matcher = new StopStrings(stops, include);
  let emitted = '';
  let stopped: string | undefined;
  for (const piece of pieces) {
    const result = matcher.push(piece);
    emitted += result.emit;
    stopped = result.stopped;
  }
  return { emitted: emitted + matcher.flush(), stopped };
}

/** The plain way: end by end, does the text so far end with a stop string? */
function search(stops: string[], text: string, include = false) {
  for (let end = 1; end <= text.length; end++) {
    const met = stops
      .filter((stop) => text.slice(0, end).endsWith(stop))
      .sort((a, b) => b.length - a.length)[0];
    if (met !== undefined) return { emitted: text.slice(0, include ? end : end - met.length), stopped: met };
  }
  return { emitted: text, stopped: undefined };
}

describe('StopStrings', () => {
  it('finds a stop string across pieces and cuts before it', () => {
    const matcher = new StopStrings(['\nUser:', 'END']);
    expect(matcher.push('Hello\nUs')).toEqual({ emit: 'Hello', stopped: undefined });
    expect(matcher.push('e')).toEqual({ emit: '', stopped: undefined });
    expect(matcher.push('d. \nUser')).toEqual({ emit: '\nUsed. ', stopped: undefined });
    expect(matcher.push(': more')).toEqual({ emit: '', stopped: '\nUser:' });
    expect(matcher.push('END')).toEqual({ emit: '', stopped: '\nUser:' });
    expect(matcher.flush()).toBe('');
  });

  it('gives back what it held when the text ends', () => {
    const matcher = new StopStrings(['abc']);
    expect(matcher.push('xab')).toEqual({ emit: 'x', stopped: undefined });
    expect(matcher.flush()).toBe('ab');
  });

  it('includes the stop string where asked', () => {
    expect(run(['b'], ['ab', 'c'], true)).toEqual({ emitted: 'ab', stopped: 'b' });
  });

  it('refuses an empty stop string', () => {
    expect(() => new StopStrings(['x', ''])).toThrow('empty');
  });

  it('equals a search of the whole text, however it is cut into pieces', () => {
    const word = fc.string({
      unit: fc.constantFrom('a', 'b', '\u00e9', '\u{1F600}'),
      minLength: 1,
      maxLength: 5,
    });
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 4 }),
        fc.array(word, { maxLength: 30 }),
        fc.boolean(),
        (stops, pieces, include) => {
          expect(run(stops, pieces, include)).toEqual(search(stops, pieces.join(''), include));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('holds back no more than could begin a stop string', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 3 }), fc.array(word), (stops, pieces) => {
        const matcher = new StopStrings(stops);
        let text = '';
        let emitted = '';
        for (const piece of pieces) {
          text += piece;
          const { emit, stopped } = matcher.push(piece);
          emitted += emit;
          if (stopped !== undefined) return;
          const held = text.slice(emitted.length);
          expect(held === '' || stops.some((stop) => stop.startsWith(held))).toBe(true);
        }
      }),
    );
  });

  it('takes linear time on the worst text', () => {
    const stop = `${'a'.repeat(50_000)}b`;
    const { emitted, stopped } = run(
      [stop],
      Array.from({ length: 1000 }, () => 'a'.repeat(100)),
    );
    expect(stopped).toBeUndefined();
    expect(emitted.length).toBe(100_000);
  });
});
