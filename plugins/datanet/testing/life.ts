/** What tests do with an open service: give files, have them checked, accept and freeze them, and look at what is left of them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Contribution } from '../model.ts';
import { type OpenService, openService } from '../service.ts';
import { newContributor, newDatanet } from '../store/conformance/samples.ts';
import type { DatanetStore } from '../store/datanet_store.ts';
import type { TestPlace } from './stores.ts';
import { withoutModels } from './without_models.ts';

export const log = { debug() {}, info() {}, warn() {}, error() {} };
export const limits = { rowBytes: 100_000, ratio: 100, expandedBytes: 1e9, refusedRows: 100 };
export const open = ({ options }: TestPlace) =>
  openService({ ...options, ...withoutModels, uploadBytes: 1e7, limits, log });
export const chat = (word: string) =>
  JSON.stringify({
    messages: [
      { role: 'user', content: word },
      { role: 'assistant', content: 'Yes.' },
    ],
  });

export async function* bytesOf(text: string) {
  yield Buffer.from(text);
}

export async function ended(store: DatanetStore, id: string) {
  await expect.poll(async () => (await store.job(id))?.state).toMatch(/succeeded|failed|cancelled/);
  return (await store.job(id))!;
}

export async function give({ store, contributions }: OpenService, text: string, datanet?: string) {
  const net = (datanet && (await store.datanet(datanet))) || (await newDatanet(store));
  const contributor = await newContributor(store, { publicKey: null });
  const said = {
    filename: 'rows.jsonl',
    format: {},
    licence: 'CC0-1.0',
    source: 'own work',
    rights: 'Mine.',
  };
  const given = await contributions.submit(net, contributor, { ...said, signature: null }, bytesOf(text));
  await ended(store, given.job.id);
  const contribution = (await store.contribution(given.contribution.id))!;
  return { net, contribution };
}

export async function accept({ store, contributions }: OpenService, contribution: Contribution) {
  await contributions.review(contribution, { accept: true, reviewer: 'r', reason: null });
  return (await store.contribution(contribution.id))!;
}

export async function freeze({ store, jobs }: OpenService, datanet: string, shares = [1, 0, 0]) {
  const [train, validation, test] = shares;
  const settings = { curation: null, seed: 3, shares: { train, validation, test }, apart: 'contributor' };
  const { id } = await jobs.submit(datanet, 'snapshot', { settings });
  const { report, error } = await ended(store, id);
  expect(error).toBeNull();
  return report!;
}

/** Files of a place in which a word is. */
export function filesWith({ folders }: TestPlace, word: string): string[] {
  return folders
    .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => readFileSync(path).includes(word));
}

/** The same, but from its `calls`th write on nothing is done any more: what a process that is killed there leaves. */
export function killedAt<T extends object>(real: T, writes: string[], left: { calls: number }): T {
  return new Proxy(real, {
    get: (target, name) => {
      const method: unknown = Reflect.get(target, name);
      if (typeof method !== 'function') return method;
      if (!writes.includes(String(name))) return method.bind(target);
      return async (...args: unknown[]) => {
        if (left.calls-- <= 0) throw new Error('killed');
        return method.apply(target, args);
      };
    },
  });
}
