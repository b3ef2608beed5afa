/** Who taught the model what it says: choices are followed by an attributor, and its findings shown to clients that ask. */
import { type Static, Type } from 'typebox';
import type { Followed, Following, TokenTrace } from '../contract/index.ts';
import { maybe } from '../schema/nullable.ts';
import type { Served } from './catalogue.ts';
import type { ChoiceRequest } from './choice.ts';
import type { Services } from './services.ts';

export const attributionField = maybe(
  Type.Enum(['none', 'summary', 'spans'], {
    description:
      "Ours: what the answer shows of who taught the model. 'spans': with each token the longest run of generated tokens that the adapter's examples have, at the end all such runs; 'summary': how much of it there was. Default 'none'. /v1/attribution/{response} tells more later.",
  }),
);

export type ShownAttribution = 'none' | 'summary' | 'spans';

/** Has the choices of a response followed by who attributes answers. */
export function followChoices(
  { host }: Services,
  response: string,
  tenant: string,
  served: Served,
  choices: readonly ChoiceRequest[],
  shown: ShownAttribution | null | undefined,
): void {
  const { card } = served;
  const [attributor] = host.all('attributor');
  for (const [index, choice] of choices.entries()) {
    const traces = shown === 'spans';
    choice.showTraces = traces;
    if (attributor && card.parent !== null)
      choice.follow = () =>
        attributor.follow({
          response,
          choice: index,
          tenant,
          model: card,
          prompt: choice.generate.prompt,
          traces,
        });
    else if (shown && shown !== 'none')
      choice.follow = async () =>
        unattributed(
          card.parent === null
            ? 'It is the base model, which nobody here taught.'
            : 'Nothing here attributes answers.',
        );
  }
}

/** What follows an answer that nobody is named for. */
function unattributed(reason: string): Following {
  return {
    wantsStates: false,
    token: () => undefined,
    end: () => ({ status: 'unattributed', reason, matchedTokens: 0, spans: [] }),
  };
}

/** What a step, or a whole choice, has to show. */
interface Shown {
  traces: readonly TokenTrace[];
  followed?: Followed | undefined;
  receipt?: string | undefined;
}

/** The field `colophon` of a choice, to be spread into it: empty where there is nothing to show. */
export function colophonOf(
  shown: ShownAttribution | null | undefined,
  { traces, followed, receipt }: Shown,
): { colophon?: Static<typeof colophonAnswer> } {
  if (!shown || shown === 'none' || (traces.length === 0 && !followed)) return {};
  const colophon: Static<typeof colophonAnswer> = {};
  if (traces.length > 0) colophon.tokens = [...traces];
  if (followed) {
    if (receipt) colophon.receipt = receipt;
    colophon.status = followed.status;
    if (followed.reason) colophon.reason = followed.reason;
    colophon.matched_tokens = followed.matchedTokens;
    if (shown === 'spans') colophon.spans = followed.spans.map(spanJson);
  }
  return { colophon };
}

const spanJson = ({ start, end, occurrences, logFrequency, examples }: Followed['spans'][number]) => ({
  start,
  end,
  occurrences,
  log_frequency: logFrequency,
  examples,
});

/** The same as a stream has it, with the comma before it. */
export function colophonField(shown: ShownAttribution | null | undefined, step: Shown): string {
  const { colophon } = colophonOf(shown, step);
  return colophon ? `,"colophon":${JSON.stringify(colophon)}` : '';
}

/** For the OpenAPI document. */
export const colophonAnswer = Type.Object(
  {
    tokens: Type.Optional(
      Type.Array(
        Type.Object({
          length: Type.Integer(),
          occurrences: Type.Integer(),
          examples: Type.Array(Type.Integer()),
        }),
      ),
    ),
    receipt: Type.Optional(Type.String({ description: 'Of the answer: /v1/receipts/{receipt}.' })),
    status: Type.Optional(Type.Enum(['settling', 'unattributed'])),
    reason: Type.Optional(Type.String()),
    matched_tokens: Type.Optional(Type.Integer()),
    spans: Type.Optional(
      Type.Array(
        Type.Object({
          start: Type.Integer(),
          end: Type.Integer(),
          occurrences: Type.Integer(),
          log_frequency: Type.Number(),
          examples: Type.Array(Type.Integer()),
        }),
      ),
    ),
  },
  { description: "Where 'attribution' asked for it." },
);
