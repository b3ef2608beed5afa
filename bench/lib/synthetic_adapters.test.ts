import { expect, it } from 'vitest';
import { adapterTensors, linears } from './synthetic_adapters.ts';

const shape = { layers: 2, hidden: 8, heads: 2, kvHeads: 1, headDim: 4, feedForward: 12, vocabulary: 50 };

it('writes a safetensors file that is whole and the same for the same seed', () => {
  const file = adapterTensors(shape, 3, 1);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString()) as Record<
    string,
    { dtype: string; shape: [number, number]; data_offsets: [number, number] }
  >;
  const { __metadata__: _metadata, ...tensors } = header;
  expect(Object.keys(tensors)).toHaveLength(shape.layers * 7 * 2);
  const down = tensors['base_model.model.model.layers.1.mlp.down_proj.lora_A.weight']!;
  expect(down).toMatchObject({ dtype: 'BF16', shape: [3, 12] });
  let end = 0;
  for (const tensor of Object.values(tensors)) {
    expect(tensor.data_offsets).toEqual([end, end + tensor.shape[0] * tensor.shape[1] * 2]);
    end = tensor.data_offsets[1];
  }
  expect(file.length).toBe(8 + length + end);
  expect(adapterTensors(shape, 3, 1).equals(file)).toBe(true);
  expect(adapterTensors(shape, 3, 2).equals(file)).toBe(false);
  // No value is nothing or out of range: the largest of a lora_A is 1 / sqrt(inputs).
  const values = new Float32Array(36);
  for (let i = 0; i < 36; i++) {
    const bits = file.readUInt16LE(8 + length + down.data_offsets[0] + 2 * i);
    values[i] = new Float32Array(new Uint32Array([bits << 16]).buffer)[0]!;
  }
  expect(Math.max(...values.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(12));
  expect(new Set(values).size).toBeGreaterThan(30);
});

it('knows the shape of every linear of a block with grouped keys', () => {
  const byName = Object.fromEntries(
    linears(shape).map(([path, inputs, outputs]) => [path, [inputs, outputs]]),
  );
  expect(byName['self_attn.k_proj']).toEqual([8, 4]);
  expect(byName['self_attn.o_proj']).toEqual([8, 8]);
  expect(byName['mlp.gate_proj']).toEqual([8, 12]);
});
