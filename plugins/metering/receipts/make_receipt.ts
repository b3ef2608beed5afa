/** From what was recorded of an answer, and what it was settled to, to its receipt. */
import type { SettledShares } from '../../../gateway/contract/index.ts';
import { type FeeSettings, priced } from '../money/fees.ts';
import type { FinishedAnswer } from '../store/answers.ts';
import { commitTo, commitToGrammar } from './opening.ts';
import { type Receipt, type ReceiptChoice, receiptType } from './receipt.ts';

/** What is learned of an answer after its end. */
export interface Settled {
  /** One for each choice; a sentence where nobody is named. */
  shares: Array<SettledShares | { unattributed: string }>;
  /** SHA-256 of the adapter's files that say who taught it, by name. */
  attribution: Record<string, string>;
}

/** Throws where its opening is gone: an answer keeps it until it has a receipt. */
export function receiptOf(
  answer: FinishedAnswer,
  { shares, attribution }: Settled,
  fees: FeeSettings,
): Receipt {
  const { about, began, ended, usage, opening } = answer;
  if (!opening) throw new Error(`What ${about.response} said is gone, so it cannot have a receipt any more.`);
  const { salt, prompts, outputs, grammars } = opening;
  const choices = about.choices.map(({ prompt, grammar, request }, at): ReceiptChoice => {
    const { cached, generated, finish } = answer.choices[at]!;
    const found = shares[at]!;
    const kept =
      grammar === undefined ? {} : { grammar: { sha256: commitToGrammar(salt, grammars[grammar]!) } };
    return {
      prompt: { tokens: prompts[prompt]!.length, sha256: commitTo(salt, 'prompt', prompt, prompts[prompt]!) },
      cached_tokens: cached,
      output: { tokens: outputs[at]!.length, sha256: commitTo(salt, 'output', at, outputs[at]!) },
      generated_tokens: generated,
      finish,
      ...(request ? { request: { ...request, ...kept } } : {}),
      shares: 'total' in found ? sharesOf(found) : null,
      ...(found.unattributed === undefined ? {} : { unattributed: found.unattributed }),
    };
  });
  const { adapter } = about;
  return {
    id: about.response,
    tenant: about.tenant,
    key: about.key,
    began,
    ended,
    model: {
      name: about.model,
      base: about.base,
      adapter: adapter && { name: adapter.name, sha256: adapter.sha256 },
      attribution,
    },
    engine: about.engine,
    choices,
    usage,
    ...priced(usage, choices, about.model, fees),
  };
}

/** Fields in one order, and no others. */
export function sharesOf({ level, influence, policy, total, base, pool, contributors }: SettledShares) {
  return { level, influence, policy, total, base, pool, contributors };
}

/** The bytes that are signed: an in-toto Statement v1 (github.com/in-toto/attestation) about the tokens of each choice. */
export function statementOf(receipt: Receipt): Buffer {
  const subject = receipt.choices.map(({ output }, at) => ({
    name: `${receipt.id}/choices/${at}`,
    digest: { sha256: output.sha256 },
  }));
  return statementAbout(subject, receiptType, receipt);
}

/** An in-toto Statement v1. */
export function statementAbout(
  subject: Array<{ name: string; digest: { sha256: string } }>,
  predicateType: string,
  predicate: object,
): Buffer {
  const statement = { _type: 'https://in-toto.io/Statement/v1', subject, predicateType, predicate };
  return Buffer.from(JSON.stringify(statement));
}
