/** The life of a contribution: submitted -> checked -> accepted or rejected; withdrawn from any state, or one example of it. */
import { randomUUID } from 'node:crypto';
import { ColophonError } from '../../gateway/contract/index.ts';
import { notFound } from './access.ts';
import { type JobRunner, now } from './jobs/runner.ts';
import type { Contribution, Contributor, Datanet, FormatOptions, LicencePolicy } from './model.ts';
import type { BlobStore } from './store/blob_store.ts';
import type { Copy, DatanetStore, Job } from './store/datanet_store.ts';
import { endWithdrawals } from './store/erase_texts.ts';

/** What a contributor says of a file. */
export interface Statement {
  filename: string;
  format: FormatOptions;
  /** SPDX id. */
  licence: string;
  source: string;
  rights: string;
  signature: string | null;
}

/** A file that lies in the blobs, and is no contribution yet. */
export interface Arrival {
  sha256: string;
  bytes: number;
}

export interface ContributionParts {
  store: DatanetStore;
  blobs: BlobStore;
  jobs: JobRunner;
  uploadBytes: number;
  /** Throws where a policy forbids a licence: `unknown_licence`, `licence_forbidden`, `licence_incompatible`. */
  checkLicence(licence: string, policy: LicencePolicy): void;
  /** Whether a contribution's signature is its contributor's. */
  isSigned(datanet: Datanet, contribution: Contribution, publicKey: string): boolean;
}

export class Contributions {
  readonly #parts: ContributionParts;
  /** Uploads on their way: a blob that one of them refuses may be another's. */
  readonly #arriving = new Set<Arrival>();
  /** Quota and duplicates are looked at by one submission at a time; none may count on a blob that a withdrawal erases. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: ContributionParts) {
    this.#parts = parts;
  }

  /** Bytes of the longest file. */
  get uploadBytes(): number {
    return this.#parts.uploadBytes;
  }

  /** Takes a file in and has it checked. What is refused leaves nothing. */
  async submit(
    datanet: Datanet,
    contributor: Contributor,
    statement: Statement,
    file: AsyncIterable<Uint8Array>,
  ): Promise<{ contribution: Contribution; job: Job }> {
    const { store, uploadBytes } = this.#parts;
    this.#parts.checkLicence(statement.licence, datanet.licencePolicy);
    const left = datanet.contributorBytes - (await store.contributedBytes(datanet.id, contributor.id));
    if (left <= 0) throw overQuota(contributor, datanet);
    const arrival = await this.receive(file, Math.min(left, uploadBytes)).catch((error) => {
      const tooLarge = error instanceof ColophonError && error.code === 'too_large';
      throw tooLarge && left < uploadBytes ? overQuota(contributor, datanet) : error;
    });
    return this.keep(datanet, contributor, statement, arrival);
  }

  /** Takes a file in of which it is said later what it is: then it is kept or discarded. Throws `too_large`. */
  async receive(file: AsyncIterable<Uint8Array>, limit = this.uploadBytes): Promise<Arrival> {
    const arrival: Arrival = { sha256: '', bytes: 0 };
    this.#arriving.add(arrival);
    try {
      return Object.assign(arrival, await this.#parts.blobs.write(file, limit));
    } catch (error) {
      this.#arriving.delete(arrival);
      throw error;
    }
  }

  /** Has it checked, as a contribution. What is refused is discarded. */
  async keep(
    datanet: Datanet,
    contributor: Contributor,
    statement: Statement,
    arrival: Arrival,
  ): Promise<{ contribution: Contribution; job: Job }> {
    const contribution: Contribution = {
      id: `contribution_${randomUUID().replaceAll('-', '')}`,
      datanet: datanet.id,
      contributor: contributor.id,
      ...statement,
      publicKey: statement.signature === null ? null : contributor.publicKey,
      ...arrival,
      state: 'submitted',
      reviewer: null,
      reason: null,
      rows: 0,
      refused: 0,
      createdAt: now(),
      reviewedAt: null,
    };
    return this.#inTurn(async () => {
      try {
        await this.#check(datanet, contributor, contribution);
        const { store, jobs } = this.#parts;
        const job = await jobs.submit(datanet.id, 'check', { contribution: contribution.id }, () =>
          store.createContribution(contribution),
        );
        this.#arriving.delete(arrival);
        return { contribution, job };
      } catch (error) {
        await this.#forget(arrival);
        throw error;
      }
    });
  }

  /** Of what was kept or discarded before, nothing. */
  discard(arrival: Arrival): Promise<void> {
    return this.#inTurn(() => this.#forget(arrival));
  }

  async #forget(arrival: Arrival): Promise<void> {
    if (!this.#arriving.delete(arrival) || this.#arriving.size > 0) return;
    const { store, blobs } = this.#parts;
    if (!(await store.usesBlob(arrival.sha256))) await blobs.delete(arrival.sha256);
  }

  /** Accepts or rejects what was checked; a word may be changed. */
  async review(
    contribution: Contribution,
    word: { accept: boolean; reviewer: string; reason: string | null },
  ): Promise<Contribution> {
    const state = word.accept ? 'accepted' : 'rejected';
    const change = { state, reviewer: word.reviewer, reason: word.reason, reviewedAt: now() } as const;
    if (
      await this.#parts.store.moveContribution(contribution.id, ['checked', 'accepted', 'rejected'], change)
    ) {
      return { ...contribution, ...change };
    }
    const current = (await this.#parts.store.contribution(contribution.id))?.state ?? 'deleted';
    throw new ColophonError(
      `Contribution '${contribution.id}' is ${current}; only one that was checked can be reviewed.`,
      { type: 'conflict_error', code: 'contribution_not_reviewable' },
    );
  }

  /** Takes it back: its texts go, its hashes stay. It is noted first, so that the next start ends what a crash cuts short. */
  async withdraw(contribution: Contribution, reason: string | null): Promise<Contribution> {
    const { store, blobs, jobs } = this.#parts;
    await this.#stopChecking(contribution, jobs);
    const change = { reason, reviewedAt: now() };
    const moved = await store.withdrawContribution(contribution.id, change);
    await this.#inTurn(() => endWithdrawals(store, blobs));
    return moved
      ? { ...contribution, ...change, state: 'withdrawn' }
      : (await store.contribution(contribution.id))!;
  }

  /**
   * Takes the examples of a hash back, in every contribution of which `isTheirs` says that the caller may: their texts go, and with them the
   * files in which they came; the hash stays. `remaining`: copies that are left, as others gave them. Throws
   * `datanet_object_not_found` where the caller has none, `example_being_checked`.
   */
  async withdrawExample(
    datanet: Datanet,
    hash: string,
    { by, reason, isTheirs }: { by: string; reason: string | null; isTheirs(copy: Copy): Promise<boolean> },
  ): Promise<{ withdrawn: number; remaining: number }> {
    const { store, blobs } = this.#parts;
    const seqs: number[] = [];
    let known = false;
    let remaining = 0;
    for await (const copies of store.copiesOf(datanet.id, hash)) {
      for (const copy of copies) {
        const may = await isTheirs(copy);
        known ||= may;
        if (!copy.hasText) continue;
        if (may && copy.state === 'submitted') throw beingChecked(hash, copy);
        if (may) seqs.push(copy.seq);
        else remaining++;
      }
    }
    if (!known) throw notFound('example', hash);
    const withdrawal = { datanet: datanet.id, hash, by, reason, at: now() };
    const withdrawn = await this.#inTurn(async () => {
      const taken = await store.withdrawExamples(withdrawal, seqs);
      await endWithdrawals(store, blobs);
      return taken;
    });
    return { withdrawn, remaining };
  }

  async #stopChecking({ id, datanet }: Contribution, jobs: JobRunner): Promise<void> {
    let after: string | undefined;
    for (;;) {
      const page = await this.#parts.store.jobs(
        { datanet, state: ['queued', 'running'] },
        { limit: 100, ...(after === undefined ? {} : { after }) },
      );
      for (const job of page.data) {
        if (job.kind === 'check' && job.params.contribution === id) await jobs.cancel(job.id);
      }
      if (!page.hasMore) return;
      after = page.data.at(-1)!.id;
    }
  }

  async #check(datanet: Datanet, contributor: Contributor, contribution: Contribution): Promise<void> {
    const { store } = this.#parts;
    const { bytes, sha256, filename, signature } = contribution;
    this.#parts.checkLicence(contribution.licence, datanet.licencePolicy);
    if (bytes === 0) {
      throw new ColophonError(`The file '${filename}' is empty.`, { param: 'file', code: 'empty_file' });
    }
    if (signature !== null) {
      if (
        contributor.publicKey === null ||
        !this.#parts.isSigned(datanet, contribution, contributor.publicKey)
      ) {
        throw new ColophonError(
          contributor.publicKey === null
            ? `Contributor '${contributor.id}' has no public key to check the signature with; give it one, or send no signature.`
            : `The signature is not of contributor '${contributor.id}' over this contribution; sign its statement with the contributor's Ed25519 key.`,
          { param: 'signature', code: 'bad_signature' },
        );
      }
    } else if (contributor.publicKey !== null) {
      throw new ColophonError(
        `Contributor '${contributor.id}' has a public key, so that its contributions must be signed.`,
        { param: 'signature', code: 'bad_signature' },
      );
    }
    for (const state of ['submitted', 'checked', 'accepted'] as const) {
      const { data } = await store.contributions({ datanet: datanet.id, sha256, state }, { limit: 1 });
      if (data.length === 0) continue;
      throw new ColophonError(
        `The same file is in Datanet '${datanet.name}' already, as contribution '${data[0]!.id}' (${state}).`,
        { type: 'conflict_error', param: 'file', code: 'duplicate_upload' },
      );
    }
    const used = await store.contributedBytes(datanet.id, contributor.id);
    if (used + bytes > datanet.contributorBytes) throw overQuota(contributor, datanet);
  }

  #inTurn<Result>(run: () => Promise<Result>): Promise<Result> {
    const result = this.#turn.then(run);
    this.#turn = result.catch(() => {});
    return result;
  }
}

function beingChecked(hash: string, { contribution }: Copy): ColophonError {
  return new ColophonError(
    `The contribution '${contribution}', which has the example '${hash}', is still being checked. Withdraw the example once that is done, or the contribution now.`,
    { type: 'conflict_error', code: 'example_being_checked' },
  );
}

function overQuota(contributor: Contributor, datanet: Datanet): ColophonError {
  return new ColophonError(
    `Contributor '${contributor.id}' may have ${datanet.contributorBytes} bytes in Datanet '${datanet.name}', and this file is more than is left. Withdraw contributions, or ask the Datanet's owner for more.`,
    { status: 413, param: 'file', code: 'contributor_over_quota' },
  );
}
