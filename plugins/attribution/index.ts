/** Who taught a model what it says: spans while an answer is made, shares of credit after it. */
import { join } from 'node:path';
import { Type } from 'typebox';
import { definePlugin, type Host } from '../../gateway/contract/index.ts';
import { Again, sampleOf } from './again.ts';
import { createAttributor } from './attributor.ts';
import { Corpora } from './corpus.ts';
import { Appraiser } from './gradients/appraiser.ts';
import { Records } from './records.ts';
import { attributionRoutes } from './routes.ts';
import { Salt } from './salt.ts';
import { Settling } from './settling.ts';
import { policyOf, SharePolicy } from './shares/policy.ts';
import { defaultMinimum } from './spans.ts';

export const attributionConfig = Type.Object(
  {
    span_tokens: Type.Integer({
      default: defaultMinimum,
      minimum: 1,
      maximum: 1024,
      description:
        'Tokens of the shortest run that is a span. Fewer in a row are language that all have in common rather than what one example says.',
    }),
    keep_days: Type.Number({
      default: 30,
      minimum: 0,
      maximum: 36_500,
      description:
        'How long token ids of settled answers are kept, with which their shares can be made again and their spans shown. Shares are kept for good.',
    }),
    budget: Type.Number({
      default: 0.1,
      minimum: 0.001,
      maximum: 1,
      description:
        "Part of the machine's processors that settling by gradients may use, behind all that is served.",
    }),
    sample: Type.Number({
      default: 0.01,
      minimum: 0,
      maximum: 1,
      description:
        'Part of all responses that are settled by gradients without being asked for: one in so many is drawn at random, a whole number (1 / sample, rounded), and stands for them.',
    }),
    policy: Type.Optional(
      Type.Partial(Type.Omit(SharePolicy, ['version']), {
        additionalProperties: false,
        description: 'How evidence becomes shares, where it is to be otherwise than by default.',
      }),
    ),
  },
  { additionalProperties: false },
);

const dayMs = 86_400_000;

async function baseOf(host: Host, model: string) {
  for (const backend of host.all('backend')) {
    const card = await backend.model(model);
    const weights = card && (await backend.weights?.(card.parent ?? card.id));
    if (weights) return { weights, longest: card.maxModelLength };
  }
  return undefined;
}

export default definePlugin({
  name: 'attribution',
  contract: 1,
  config: attributionConfig,
  provides: ['attributor'],
  setup(host, config) {
    const folder = join(host.paths.data, 'attribution');
    const salt = new Salt(folder);
    const corpora = new Corpora();
    const records = new Records(folder, () => settling.wake());
    const settling = new Settling({
      records,
      corpora,
      policy: policyOf(config.policy),
      log: host.log,
      appraiser: new Appraiser(config.budget),
      base: (model) => baseOf(host, model),
      sample: sampleOf(config.sample, (response) => salt.draw(response)),
    });
    const again = new Again(records, settling);
    const forget = () => records.forget(Math.floor((Date.now() - config.keep_days * dayMs) / 1000));
    const forgetting = setInterval(forget, dayMs / 24);
    forgetting.unref();

    const rooms = { corpora, records, settling, again, spanTokens: config.span_tokens };
    host.provide('attributor', createAttributor(rooms));
    host.routes((app) => attributionRoutes(app, { host, records, corpora, settling, salt }));
    return {
      ready: () => {
        forget();
        settling.wake();
      },
      close: async () => {
        clearInterval(forgetting);
        records.flush();
        await settling.stop();
        records.close();
      },
    };
  },
});
