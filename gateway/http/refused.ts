/** Fields that would change the answer and that this server does not know how to obey: refused, never ignored. */
import { ColophonError } from '../contract/index.ts';

type Body = Record<string, unknown>;
type Rule = [field: string, asksForIt: (value: unknown, body: Body) => boolean, why: string];

const given = (value: unknown) => value !== undefined && value !== null;
const yes = (value: unknown) => value === true;
const nonEmpty = (value: unknown) =>
  given(value) && value !== '' && !(Array.isArray(value) && value.length === 0);
const toolsOff = (body: Body) => body.tool_choice === 'none' || body.function_call === 'none';

const rules: Rule[] = [
  [
    'tools',
    (value, body) => nonEmpty(value) && !toolsOff(body),
    'Tools are not supported yet. Leave them out or set tool_choice to "none".',
  ],
  [
    'functions',
    (value, body) => nonEmpty(value) && !toolsOff(body),
    'Functions are not supported. Leave them out or set function_call to "none".',
  ],
  [
    'tool_choice',
    (value) => given(value) && value !== 'none' && value !== 'auto',
    'Tools are not supported yet, so tool_choice can only be "none" or "auto".',
  ],
  [
    'best_of',
    (value, body) => given(value) && value !== (body.n ?? 1),
    'best_of is not supported: every generated choice is returned. Use n alone.',
  ],
  [
    'suffix',
    nonEmpty,
    'suffix is not supported: the models served here continue text, they do not fill gaps.',
  ],
  ['use_beam_search', yes, 'Beam search is not supported.'],
  ['prompt_embeds', nonEmpty, 'Prompts as embeddings are not supported.'],
  ['truncate_prompt_tokens', given, 'Prompts are never truncated. Shorten the prompt instead.'],
  ['allowed_token_ids', nonEmpty, 'allowed_token_ids is not supported yet.'],
  ['bad_words', nonEmpty, 'bad_words is not supported; use logit_bias.'],
  ['logprob_token_ids', nonEmpty, 'logprob_token_ids is not supported.'],
  ['chat_template', given, "The chat template is the model's own; a request cannot bring another."],
  ['documents', nonEmpty, 'documents are not supported; put their text into a message.'],
  [
    'modalities',
    (value) => Array.isArray(value) && value.some((item) => item !== 'text'),
    'Only the modality "text" is supported.',
  ],
  ['audio', given, 'Audio is not supported.'],
  ['web_search_options', given, 'Web search is not supported.'],
];

/** Throws for the first field that asks for what is not there. */
export function refuseUnsupported(body: object, also: Rule[] = []): void {
  const fields = body as Body;
  for (const [field, asksForIt, why] of [...rules, ...also]) {
    if (asksForIt(fields[field], fields)) {
      throw new ColophonError(why, { param: field, code: 'unsupported_parameter' });
    }
  }
}
