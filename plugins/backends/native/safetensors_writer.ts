/** Writes PEFT folders and safetensors files: the demo adapters, tests and benchmarks make theirs with it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CONFIG_FILE, TENSORS_FILE } from './peft.ts';

export type TensorType = 'F32' | 'F16' | 'BF16';

export interface TensorData {
  type: TensorType;
  shape: number[];
  /** Row after row; rounded to nearest even where the type is narrower. */
  values: Float32Array;
}

/** The bytes of a safetensors file, names in their order. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Record<string, string> = {},
): Buffer {
  const header: Record<string, unknown> = { __metadata__: { format: 'pt', ...metadata } };
  const chunks: Buffer[] = [];
  let offset = 0;
  for (const [name, { type, shape, values }] of tensors) {
    const elements = shape.reduce((product, size) => product * size, 1);
    if (elements !== values.length)
      throw new Error(`${name}: shape [${shape}] does not hold ${values.length} values.`);
    const bytes = encodeValues(type, values);
    header[name] = { dtype: type, shape, data_offsets: [offset, offset + bytes.length] };
    chunks.push(bytes);
    offset += bytes.length;
  }
  const json = JSON.stringify(header);
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...chunks]);
}

/** Writes an adapter's folder. */
export async function writeAdapter(
  folder: string,
  config: Record<string, unknown>,
  tensors: ReadonlyMap<string, TensorData>,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, TENSORS_FILE), encodeSafetensors(tensors));
  await writeFile(
    join(folder, CONFIG_FILE),
    `${JSON.stringify({ peft_type: 'LORA', task_type: 'CAUSAL_LM', bias: 'none', ...config }, null, 2)}\n`,
  );
}

function encodeValues(type: TensorType, values: Float32Array): Buffer {
  if (type === 'F32')
    return Buffer.from(values.buffer.slice(values.byteOffset, values.byteOffset + values.byteLength));
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const narrow = new Uint16Array(values.length);
  const convert = type === 'BF16' ? toBfloat16 : toFloat16;
  for (let i = 0; i < bits.length; i++) narrow[i] = convert(bits[i]!);
  return Buffer.from(narrow.buffer);
}

function toBfloat16(bits: number): number {
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** Round to nearest even; what is too large becomes infinity, which readers refuse. */
function toFloat16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const exponent = ((bits >>> 23) & 0xff) - 112;
  const mantissa = bits & 0x7fffff;
  if (exponent >= 31) return sign | 0x7c00;
  if (exponent < -10) return sign;
  const shift = exponent > 0 ? 13 : 14 - exponent;
  const full = exponent > 0 ? (exponent << 23) | mantissa : mantissa | 0x800000;
  const half = 1 << (shift - 1);
  const kept = full >>> shift;
  const rest = full & ((1 << shift) - 1);
  return sign | (kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0));
}
