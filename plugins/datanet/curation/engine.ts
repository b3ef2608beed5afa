/** What stages ask a model that is served: tokens, embeddings, losses. */
import {
  type Backend,
  ColophonError,
  type Host,
  type ModelCard,
  type ModelText,
} from '../../../gateway/contract/index.ts';
import type { Content } from '../model.ts';
import { type Embed, paraphrase } from './contamination.ts';
import { tokens } from './length.ts';
import type { CurationSettings } from './settings.ts';
import type { Comparison, Stage } from './stage.ts';
import { type Loss, surprise } from './surprise.ts';
import { ownText } from './texts.ts';

/** Requests that a curation has in the engine: one batch of it. They are background work. */
const atOnce = 8;
const priority = 100;

export interface EngineParts {
  host: Pick<Host, 'all' | 'text'>;
  tenant: string;
  /** Texts that are held out. */
  heldOut: string[];
  signal: AbortSignal;
}

/** The stages that the settings ask for. Throws `model_not_found`, and `unsupported` where the model's backend cannot. */
export async function engineStages(
  settings: CurationSettings,
  { host, tenant, heldOut, signal }: EngineParts,
): Promise<{ rows: Stage[]; whole: Comparison[] }> {
  const wants = {
    tokens: settings.length.enabled && settings.length.maxTokens !== null,
    paraphrase: settings.contamination.enabled && settings.contamination.paraphrase,
    surprise: settings.surprise.enabled,
  };
  if (!Object.values(wants).includes(true)) return { rows: [], whole: [] };
  const { backend, card } = await served(host, settings.model);
  const text = await host.text(card.id);
  const model = { backend, card, text, tenant, signal };
  return {
    rows: [
      ...(wants.tokens ? [tokens(async (contents) => contents.map((one) => idsOf(text, one).length))] : []),
      ...(wants.paraphrase ? [paraphrase(heldOut, embeddings(model))] : []),
    ],
    whole: wants.surprise ? [surprise(losses(model), settings.surprise)] : [],
  };
}

interface Model {
  backend: Backend;
  card: ModelCard;
  text: ModelText;
  tenant: string;
  signal: AbortSignal;
}

async function served(host: EngineParts['host'], model: string) {
  for (const backend of host.all('backend')) {
    const card =
      model === ''
        ? (await backend.models()).find(({ parent }) => parent === null)
        : await backend.model(model);
    if (card) return { backend, card };
  }
  throw new ColophonError(
    model === ''
      ? 'No model is served here that the stages of the curation could ask. Switch off `length.maxTokens`, `contamination.paraphrase` and `surprise`, or serve one.'
      : `The model '${model}', which the curation is to ask, is not served here.`,
    { type: 'not_found_error', param: 'settings.model', code: 'model_not_found' },
  );
}

/** Cut where they are longer than the model's context. */
function embeddings({ backend, card, text, tenant, signal }: Model): Embed {
  if (!backend.embed) {
    throw new ColophonError(
      `The backend of '${card.id}' gives no embeddings, which 'contamination.paraphrase' needs. Switch it off, or name another model.`,
      { param: 'settings.contamination.paraphrase', code: 'unsupported' },
    );
  }
  return (texts) =>
    mapSome(texts, async (one) => {
      const prompt = text.encode(one, { addBos: true }).slice(0, card.maxModelLength);
      const request = { model: card.id, prompt, pool: 'mean', tenant, priority } as const;
      return (await backend.embed!(request, signal)).values;
    });
}

function losses(model: Model): Loss {
  const { text, card } = model;
  return (contents) =>
    mapSome(contents, async (content) => {
      const prompt = idsOf(text, content).slice(0, card.maxModelLength - 1);
      return prompt.length < 2 ? Number.NaN : await lossOf(prompt, model);
    });
}

/** Mean of -log p over all tokens but the first. */
async function lossOf(prompt: number[], { backend, card, tenant, signal }: Model): Promise<number> {
  const request = {
    model: card.id,
    prompt,
    maxTokens: 1,
    minTokens: 0,
    ignoreEnd: false,
    stopTokenIds: [],
    sampling: {
      temperature: 0,
      topP: 1,
      topK: 0,
      minP: 0,
      repetitionPenalty: 1,
      presencePenalty: 0,
      frequencyPenalty: 0,
      seed: 0n,
    },
    promptLogprobs: 0,
    tenant,
    priority,
  };
  for await (const parts of backend.generate(request, signal)) {
    for (const part of parts) {
      if (part.type !== 'prompt-logprobs') continue;
      const known = part.tokens.flatMap((token) => (token ? [token.logprob] : []));
      return -known.reduce((sum, logprob) => sum + logprob, 0) / known.length;
    }
  }
  throw new ColophonError(
    `The backend of '${card.id}' gives no log-probabilities of prompts, which the stage 'surprise' needs. Switch it off, or name another model.`,
    { param: 'settings.surprise', code: 'unsupported' },
  );
}

/** As they are trained on. Of a preference, the preferred answer. */
function idsOf(text: ModelText, content: Content): number[] {
  if ('messages' in content || 'input' in content) {
    const { messages, tools } =
      'messages' in content
        ? content
        : { ...content.input, messages: [...content.input.messages, ...content.preferred_output] };
    const options = { addGenerationPrompt: false, ...(tools === undefined ? {} : { tools }) };
    return text.encodeChat(messages as never, options).ids;
  }
  return text.encode(ownText(content), { addBos: true });
}

/** In their order, some at once. */
async function mapSome<From, To>(values: From[], map: (value: From) => Promise<To>): Promise<To[]> {
  const results = new Array<To>(values.length);
  let next = 0;
  const take = async () => {
    while (next < values.length) {
      const at = next++;
      results[at] = await map(values[at]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, values.length) }, take));
  return results;
}
