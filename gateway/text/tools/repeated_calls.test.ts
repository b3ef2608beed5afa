import { expect, test } from 'vitest';
import { RepeatedCalls } from './repeated_calls.ts';
import { toolsOfTemplate } from './tool_form.ts';

const call = (city: string) => `{"name": "weather", "arguments": {"city": "${city}"}}`;
const forms = ['<tool_call>', '[TOOL_CALLS]', '<|python_tag|>'].map((marker) => toolsOfTemplate(marker).form);

/** What comes out of a text that comes in pieces of a length. */
function read(text: string, length: number): { out: string; stopped: boolean } {
  const repeats = new RepeatedCalls();
  let out = '';
  for (let at = 0; at < text.length; at += length) {
    const { emit, stopped } = repeats.push(text.slice(at, at + length));
    out += emit;
    if (stopped) return { out, stopped };
  }
  return { out: out + repeats.flush(), stopped: false };
}

test.each(forms)('in $kind form a call that was there before ends the answer', ({ forced }) => {
  const { open, between, close } = forced;
  const tricky = [call('Paris'), call('Par{"}]; \\"is'), call('Pari')];
  const whole = open + tricky.join(between);
  for (const length of [1, 3, 7, 1000]) {
    expect(read(whole + close, length)).toEqual({ out: whole + close, stopped: false });
    for (const repeat of tricky) {
      expect(read(whole + between + repeat + between + call('Rome'), length)).toEqual({
        out: whole,
        stopped: true,
      });
    }
  }
});

test('what is like no call before it is given as it comes, what was cut is given at the end', () => {
  const repeats = new RepeatedCalls();
  expect(repeats.push(call('Paris')).emit).toBe(call('Paris'));
  expect(repeats.push('; {"name": "weather", "arguments": {"city": "').emit).toBe('');
  expect(repeats.push('Ro').emit).toBe('; {"name": "weather", "arguments": {"city": "Ro');
  expect(repeats.push('me"}}; {"na').emit).toBe('me"}}');
  expect(repeats.flush()).toBe('; {"na');
});
