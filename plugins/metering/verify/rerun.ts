/**
 * Runs a receipt again: the same base, adapter, tokens, sampling and seed give the same tokens on any machine, and the same index and
 * policy the same shares. Each check that fails says what differs.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  type Attributor,
  type Backend,
  fidelityFile,
  type GenerateRequest,
  type ModelCard,
} from '../../../gateway/contract/index.ts';
import type { Constraint, Grammars } from '../../../gateway/text/grammar/grammars.ts';
import type { Finding } from '../ledger/finding.ts';
import { priced } from '../money/fees.ts';
import { attributionHashes } from '../receipts/attribution_hashes.ts';
import type { Correction } from '../receipts/correction.ts';
import { ownerIn } from '../receipts/make_correction.ts';
import { commitTo, commitToGrammar } from '../receipts/opening.ts';
import type { Receipt, ReceiptChoice } from '../receipts/receipt.ts';
import type { Opening } from '../store/answers.ts';

export interface RerunOptions {
  receipt: Receipt;
  /** Of that receipt: what its shares are to come to when they are settled again. */
  correction?: Correction | undefined;
  opening: Opening;
  backend: Backend;
  attributor: Attributor | undefined;
  /** As the model is called where it is run again. */
  model: string;
  /** Of its vocabulary. */
  grammars: Pick<Grammars, 'constrain'>;
}

/** What the receipt says against what comes of doing it again. Never throws for what the files say. */
export async function rerun(options: RerunOptions): Promise<Finding[]> {
  const { receipt, opening, backend } = options;
  const findings = [...checkOpening(receipt, opening), checkFee(receipt)];
  const card = await backend.model(options.model);
  if (!card) {
    findings.push(bad('model', `There is no model "${options.model}" here to run it on.`));
    return findings;
  }
  findings.push(...(await checkModel(receipt, card, backend)));
  if (findings.some(({ ok }) => !ok)) return findings;
  for (const at of receipt.choices.keys()) findings.push(...(await rerunChoice(options, card, at)));
  if (options.correction) findings.push(...(await settleAgain(options, options.correction)));
  return findings;
}

/** Of choices that were followed and settled first, as they were run again. */
async function settleAgain(
  { receipt, attributor }: RerunOptions,
  { choices }: Correction,
): Promise<Finding[]> {
  const again = attributor?.again;
  if (!again) return [bad('correction', 'Nothing here settles answers again, so it cannot be compared.')];
  await again.settle(rerunOf(receipt), 'asked');
  const found = new Map((await again.of(rerunOf(receipt)))?.choices.map((one) => [one.choice, one.shares]));
  return choices.map(({ choice, shares }) => {
    const made = found.get(choice);
    return isDeepStrictEqual(made, shares)
      ? good(
          'correction',
          `The corrected shares of choice ${choice} come out the same, to the millionth of a token.`,
        )
      : bad(
          'correction',
          made
            ? `The corrected shares of choice ${choice} come to ${JSON.stringify(made)}, the correction says ${JSON.stringify(shares)}.`
            : `Choice ${choice} cannot be settled again here: its adapter has no index of gradients that is to be used, or the base's weights are not here.`,
        );
  });
}

/** What its response is called where it is run again. */
const rerunOf = ({ id }: Receipt) => `rerun-${id}`;

function checkOpening({ choices }: Receipt, { salt, prompts, outputs, grammars }: Opening): Finding[] {
  const findings: Finding[] = [];
  const matches = (
    what: 'prompt' | 'output',
    found: Array<readonly number[]>,
    said: ReceiptChoice,
    at: number,
  ) =>
    found.some((ids, number) => said[what].sha256 === commitTo(salt, what, number, ids)) && found.length > at;
  for (const [at, choice] of choices.entries()) {
    if (!matches('prompt', prompts, choice, 0))
      findings.push(
        bad(
          'opening',
          `The prompt of choice ${at} in the opening is not the one that the receipt commits to.`,
        ),
      );
    if (choice.output.sha256 !== commitTo(salt, 'output', at, outputs[at] ?? []))
      findings.push(
        bad(
          'opening',
          `The output of choice ${at} in the opening is not the one that the receipt commits to.`,
        ),
      );
    const grammar = choice.request?.grammar;
    if (grammar && !grammars.some((text) => commitToGrammar(salt, text) === grammar.sha256))
      findings.push(
        bad('opening', `No grammar in the opening is the one of choice ${at} that the receipt commits to.`),
      );
  }
  if (findings.length === 0)
    findings.push(good('opening', 'All in the opening is what the receipt commits to.'));
  return findings;
}

/** The operator's rates and split are in the receipt; what they come to is computed again. */
function checkFee({ usage, choices, model, fee, owed }: Receipt): Finding {
  const owner = ownerIn(owed);
  const again = priced(usage, choices, model.name, {
    currency: fee.currency,
    rates: fee.rates,
    split: fee.split,
    models: owner === undefined ? {} : { [model.name]: { owner } },
  });
  return isDeepStrictEqual({ fee, owed }, again)
    ? good(
        'fee',
        `The fee of ${fee.total} ${fee.currency} and who is owed it follow from its tokens, rates and shares.`,
      )
    : bad(
        'fee',
        `Its tokens, rates and shares come to ${JSON.stringify(again)}, not to what the receipt says.`,
      );
}

async function checkModel(receipt: Receipt, card: ModelCard, backend: Backend): Promise<Finding[]> {
  const { model, engine } = receipt;
  const findings: Finding[] = [];
  const compare = (
    check: string,
    what: string,
    said: string | null | undefined,
    found: string | null | undefined,
  ) =>
    findings.push(
      (said ?? null) === (found ?? null)
        ? good(check, `The ${what} is the one that the receipt names.`)
        : bad(check, `The ${what} here is ${found ?? 'unknown'}, the receipt says ${said ?? 'none'}.`),
    );
  const base = card.parent === null ? card : await backend.model(card.parent);
  compare('base', 'SHA-256 of the base', model.base.sha256, base?.contentHash);
  if (model.adapter || card.parent !== null)
    compare(
      'adapter',
      'content hash of the adapter',
      model.adapter?.sha256,
      card.parent === null ? null : card.contentHash,
    );
  compare('engine', 'version of the engine', engine.version, backend.engine?.version);
  compare('precision', 'precision of the engine', engine.precision, backend.engine?.precision);
  if (Object.keys(model.attribution).length > 0 && card.contentHash) {
    const found = await attributionHashes(card.root, card.contentHash);
    for (const [name, hash] of Object.entries(model.attribution))
      compare('attribution', `SHA-256 of ${name}`, hash, found[name]);
  }
  return findings;
}

async function rerunChoice(
  { receipt, opening, backend, attributor, grammars }: RerunOptions,
  card: ModelCard,
  at: number,
): Promise<Finding[]> {
  const choice = receipt.choices[at]!;
  const { request, generated_tokens: generated, shares } = choice;
  if (!request) return [good('tokens', `Choice ${at} only read its prompt: there is nothing to generate.`)];
  if (generated === 0) return [good('tokens', `Choice ${at} had no token.`)];
  const prompt = opening.prompts.find(
    (ids, number) => commitTo(opening.salt, 'prompt', number, ids) === choice.prompt.sha256,
  )!;
  const response = rerunOf(receipt);
  const following =
    shares && attributor
      ? await attributor.follow({
          response,
          choice: at,
          tenant: 'verify',
          model: card,
          prompt,
          traces: false,
        })
      : undefined;
  let constraint: Constraint | undefined;
  if (request.grammar) {
    const { sha256 } = request.grammar;
    const text = opening.grammars.find((one) => commitToGrammar(opening.salt, one) === sha256)!;
    try {
      constraint = await grammars.constrain(JSON.parse(text), 'grammar');
    } catch (error) {
      return [bad('tokens', `The grammar of choice ${at} cannot be kept here: ${(error as Error).message}`)];
    }
  }
  const ids: number[] = [];
  const asked: GenerateRequest = {
    ...requestOf(request, generated),
    model: card.id,
    prompt,
    answerStates: following?.wantsStates ?? false,
    ...(constraint ? { constraint } : {}),
  };
  try {
    for await (const parts of backend.generate(asked, new AbortController().signal))
      for (const part of parts) {
        if (part.type === 'token') {
          // What was settled without influence had none to go by, or was not to.
          following?.token(part.id, part.match, shares?.influence === null ? undefined : part.state);
          ids.push(part.id);
        }
      }
  } finally {
    constraint?.close();
  }
  const findings = [compareTokens(at, opening.outputs[at]!, ids, generated)];
  if (!shares) return findings;
  if (!following)
    return [...findings, bad('shares', 'Nothing here attributes answers, so shares cannot be made again.')];
  following.end(choice.finish);
  const again = await attributor!.settled(response, at);
  const { unattributed: _, ...found } = again ?? {};
  findings.push(
    isDeepStrictEqual(found, shares)
      ? good('shares', `The shares of choice ${at} come out the same, to the millionth of a token.`)
      : bad(
          'shares',
          `The shares of choice ${at} come to ${JSON.stringify(found)}, the receipt says ${JSON.stringify(shares)}.${await measuredSince(receipt, card)}`,
        ),
  );
  return findings;
}

/** Why shares may differ though all that the receipt names is the same. */
async function measuredSince({ model }: Receipt, { root, contentHash }: ModelCard): Promise<string> {
  const now = await attributionHashes(root, contentHash ?? null);
  return now[fidelityFile] && !model.attribution[fidelityFile]
    ? ` Its adapter's ${fidelityFile} was made since: move it aside to run the receipt as it was.`
    : '';
}

/** As it was asked, to the last token that was made. */
function requestOf(
  request: NonNullable<ReceiptChoice['request']>,
  generated: number,
): Omit<GenerateRequest, 'model' | 'prompt'> {
  const { sampling } = request;
  return {
    maxTokens: generated,
    minTokens: Math.min(request.min_tokens, generated),
    ignoreEnd: request.ignore_end,
    stopTokenIds: request.stop_token_ids,
    sampling: {
      temperature: sampling.temperature,
      topP: sampling.top_p,
      topK: sampling.top_k,
      minP: sampling.min_p,
      repetitionPenalty: sampling.repetition_penalty,
      presencePenalty: sampling.presence_penalty,
      frequencyPenalty: sampling.frequency_penalty,
      ...(sampling.logit_bias ? { logitBias: sampling.logit_bias } : {}),
      seed: BigInt(sampling.seed),
    },
  };
}

function compareTokens(
  at: number,
  said: readonly number[],
  made: readonly number[],
  generated: number,
): Finding {
  const differs = said.findIndex((id, token) => id !== made[token]);
  if (differs >= 0)
    return bad(
      'tokens',
      `Token ${differs} of choice ${at} comes out as ${made[differs] ?? 'nothing'}, the receipt's is ${said[differs]}.`,
    );
  if (made.length !== generated)
    return bad('tokens', `Choice ${at} comes out with ${made.length} tokens, the receipt says ${generated}.`);
  return good('tokens', `All ${said.length} tokens of choice ${at} come out the same.`);
}

const good = (check: string, sentence: string): Finding => ({ check, ok: true, sentence });
const bad = (check: string, sentence: string): Finding => ({ check, ok: false, sentence });
