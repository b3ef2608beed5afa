import { expect, test } from 'vitest';
import { encodeSafetensors, type TensorType } from './safetensors_writer.ts';

function decode(file: Buffer) {
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length));
  return { length, header, data: file.subarray(8 + length) };
}

const encode = (type: TensorType, values: number[]) =>
  decode(
    encodeSafetensors(new Map([['t', { type, shape: [values.length], values: Float32Array.from(values) }]])),
  );

test('the header says where each tensor lies, and the data is aligned', () => {
  const { length, header, data } = decode(
    encodeSafetensors(
      new Map([
        ['a', { type: 'F32', shape: [1, 2], values: Float32Array.of(1, -2) }],
        ['b', { type: 'F16', shape: [3], values: Float32Array.of(1, 2, 3) }],
      ]),
    ),
  );
  expect(length % 8).toBe(0);
  expect(header.a).toEqual({ dtype: 'F32', shape: [1, 2], data_offsets: [0, 8] });
  expect(header.b).toEqual({ dtype: 'F16', shape: [3], data_offsets: [8, 14] });
  expect(data.readFloatLE(4)).toBe(-2);
  expect(data).toHaveLength(14);
});

test.each([
  [0, 0x0000],
  [-0, 0x8000],
  [1, 0x3c00],
  [-2.5, 0xc100],
  [65504, 0x7bff],
  [65520, 0x7c00],
  [1e10, 0x7c00],
  [2 ** -14, 0x0400],
  [2 ** -24, 0x0001],
  [2 ** -25, 0x0000],
  [2 ** -25 * 1.5, 0x0001],
  [3 * 2 ** -25, 0x0002],
  [1 + 2 ** -11, 0x3c00],
  [1 + 3 * 2 ** -11, 0x3c02],
  [2 ** -14 - 2 ** -26, 0x0400],
])('%d as float16', (value, bits) => {
  expect(encode('F16', [value]).data.readUInt16LE(0)).toBe(bits);
});

test('bfloat16 rounds to even', () => {
  const { data } = encode('BF16', [1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -3]);
  expect([0, 2, 4, 6].map((at) => data.readUInt16LE(at))).toEqual([0x3f80, 0x3f80, 0x3f82, 0xc040]);
});

test('a shape that does not fit is refused', () => {
  expect(() =>
    encodeSafetensors(new Map([['t', { type: 'F32', shape: [3], values: new Float32Array(2) }]])),
  ).toThrow('t: shape [3]');
});
