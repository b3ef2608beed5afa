/** From a receipt to whoever gave an example: every link that is on this machine, by its own hashes and signatures. */
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { RecipeFile } from '../../../plugins/training/adapter.ts';
import type { Config } from '../../config/index.ts';
import { type CorpusHead, corpusFile, type ExampleOrigin, fidelityFile } from '../../contract/index.ts';

export interface Chain {
  /** What is wrong, a sentence each. */
  faults: string[];
  /** What was checked, a sentence each. */
  links: string[];
}

/** More are counted, not told. */
const mostFaults = 20;

/** adapter -> recipe -> snapshot -> example -> contributor's signature. Of an adapter that no snapshot taught there is nothing to say. */
export async function checkChain(folder: string, made: RecipeFile, config: Config): Promise<Chain> {
  const faults: string[] = [];
  const links: string[] = [];
  const { file, snapshot } = made.data.training;
  if (snapshot === undefined) {
    links.push(`It was trained on the file ${file}: no contributor is named.`);
    return { faults, links };
  }
  const [{ hashOfAdapter }, { openDatanets }, { checkSnapshot }] = await Promise.all([
    import('../../../plugins/training/traced.ts'),
    import('../../../plugins/datanet/offline.ts'),
    import('../../../plugins/datanet/snapshots/check_snapshot.ts'),
  ]);
  const hash = await hashOfAdapter(folder);
  links.push(`The adapter ${hash} was trained by ${made.job} on ${file}.`);
  const name = /^datanet:([^@]+)@/.exec(file)?.[1];
  if (!existsSync(join(config.paths.data, 'datanets')) || name === undefined) {
    links.push(
      `The Datanet of ${file} is not on this machine: who gave its examples was not checked. --home names the folder that has it.`,
    );
    return { faults, links };
  }
  const datanets = await openDatanets(config);
  try {
    const found = await checkSnapshot(datanets, name, snapshot);
    if (!found) {
      faults.push(`The Datanet "${name}" here has no snapshot ${snapshot}.`);
      return { faults, links };
    }
    faults.push(...found.faults);
    const signed = [...found.contributions.values()].filter(({ signature }) => signature !== null).length;
    links.push(
      `The snapshot ${snapshot} has the root of its examples; ${signed} of its ${found.contributions.size} contributions are signed by their contributors.`,
    );
    const path = join(folder, corpusFile);
    if (existsSync(path)) await checkCorpus(path, { hash, file, find: found.find, faults, links });
  } finally {
    await datanets.close();
  }
  if (faults.length > mostFaults) {
    const more = faults.length - mostFaults;
    faults.splice(mostFaults, more, `And ${more} more.`);
  }
  return { faults, links };
}

/** Where its fidelity was measured: that the report is of this adapter, and of its recipe. */
export async function checkFidelity(folder: string): Promise<Chain> {
  const [{ readFidelity }, { hashOfAdapter }, { digestOf }] = await Promise.all([
    import('../../../plugins/attribution/fidelity/fidelity_file.ts'),
    import('../../../plugins/training/traced.ts'),
    import('../../../plugins/training/adapter.ts'),
  ]);
  try {
    const report = await readFidelity(folder, await hashOfAdapter(folder));
    if (!report) return { faults: [], links: [] };
    const recipe = await digestOf(join(folder, 'recipe.json'));
    if (report.recipe !== recipe)
      return { faults: [`${fidelityFile} is of the recipe ${report.recipe}, not of ${recipe}.`], links: [] };
    const by = report.chosen ?? 'spans alone';
    return { faults: [], links: [`Its fidelity was measured by ${report.retrains} trainings: ${by}.`] };
  } catch (error) {
    return { faults: [(error as Error).message], links: [] };
  }
}

async function checkCorpus(
  path: string,
  {
    hash,
    file,
    find,
    faults,
    links,
  }: Chain & {
    hash: string;
    file: string;
    find(hash: string): Promise<Pick<ExampleOrigin, 'contribution' | 'contributor'> | undefined>;
  },
): Promise<void> {
  let examples = -1;
  for await (const line of createInterface({
    input: createReadStream(path),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    if (examples++ < 0) {
      const head = JSON.parse(line) as CorpusHead;
      if (head.adapter !== hash)
        faults.push(`${corpusFile} is of the adapter ${head.adapter}, not of this one.`);
      if (!file.startsWith(head.source))
        faults.push(`${corpusFile} is of ${head.source}, the recipe of ${file}.`);
      continue;
    }
    const { example, contribution, contributor } = JSON.parse(line) as ExampleOrigin;
    const entry = await find(example);
    if (!entry) faults.push(`Example ${examples - 1} (${example}) is not in the snapshot.`);
    else if (entry.contribution !== contribution || entry.contributor !== contributor)
      faults.push(
        `Example ${examples - 1} (${example}) is ${entry.contributor}'s in ${entry.contribution}, not ${contributor}'s in ${contribution}.`,
      );
  }
  links.push(
    `All ${examples} examples that answers are traced to are in the snapshot, as their contributors gave them.`,
  );
}

/** receipt -> adapter: the receipt's own checks, and that it was this adapter that answered. */
export async function checkReceiptOf(
  receiptPath: string,
  keysPath: string | undefined,
  folder: string,
  config: Config,
): Promise<Chain> {
  const [{ knownKeys, readGiven }, { verifyReceiptFile }, { attributionHashes }, { hashOfAdapter }] =
    await Promise.all([
      import('../../../plugins/metering/cli/findings.ts'),
      import('../../../plugins/metering/ledger/verify_receipt.ts'),
      import('../../../plugins/metering/receipts/attribution_hashes.ts'),
      import('../../../plugins/training/traced.ts'),
    ]);
  const { findings, receipt } = verifyReceiptFile(readGiven(receiptPath), {
    keys: knownKeys(keysPath, () => config),
  });
  const faults = findings.filter(({ ok }) => !ok).map(({ sentence }) => sentence);
  if (!receipt) return { faults, links: [] };
  const hash = await hashOfAdapter(folder);
  const said = receipt.model.adapter?.sha256;
  if (said !== hash)
    faults.push(`The receipt of ${receipt.id} is of the adapter ${said ?? 'none'}, this one is ${hash}.`);
  const found = await attributionHashes(folder, hash);
  for (const [name, digest] of Object.entries(receipt.model.attribution))
    if (found[name] !== digest)
      faults.push(
        `The receipt was settled by a ${name} of ${digest}; the one here is ${found[name] ?? 'gone'}.`,
      );
  return {
    faults,
    links:
      faults.length > 0
        ? []
        : [`The receipt of ${receipt.id} is signed, in the ledger, and of this adapter.`],
  };
}
