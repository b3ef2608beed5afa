/** Finds who serves a model, and the text side of it. */
import { type Backend, ColophonError, type ModelCard } from '../contract/index.ts';
import type { PluginHost } from '../host/index.ts';
import { suggest } from '../schema/suggest.ts';
import { Encoder } from '../text/encoder.ts';
import { Grammars } from '../text/grammar/grammars.ts';
import { TextModel } from '../text/text_model.ts';

export interface Served {
  backend: Backend;
  card: ModelCard;
  /** The model itself, or what it is an adapter on. */
  base: ModelCard;
  text: TextModel;
  /** For texts of any length. */
  encoder: Encoder;
  /** For answers that must have a form. */
  grammars: Grammars;
}

/** What is made from a base's text definition. */
type Texts = Pick<Served, 'base' | 'text' | 'encoder' | 'grammars'>;

/** Names that a suggestion is looked for among, at most: where there are more, none are listed for a typo. */
const suggestedAmong = 1000;

export class Catalogue {
  readonly #host: PluginHost;
  /** The last list had more names than suggestions are looked for among. */
  #many = false;
  /** The first base of the last list. */
  #first: string | undefined;
  /** One for each base: adapters share their base's. */
  readonly #texts = new Map<string, Promise<Texts>>();

  constructor(host: PluginHost) {
    this.#host = host;
  }

  /** Every model of every backend, in order. */
  async list(): Promise<ModelCard[]> {
    const cards = (await Promise.all(this.#host.all('backend').map((backend) => backend.models()))).flat();
    this.#many = cards.length > suggestedAmong;
    this.#first = cards.find((card) => card.parent === null)?.id;
    return cards;
  }

  /** The model of that name; a 404 as OpenAI words it where there is none. */
  async find(id: string): Promise<Served> {
    const found = await this.card(id);
    if (!found) throw await this.#unknown(id);
    const { backend, card } = found;
    return { backend, card, ...(await this.#text(backend, card)) };
  }

  /** The first base model, for requests that may leave the model out. */
  async findOrFirst(id: string | null | undefined): Promise<Served> {
    if (id) return this.find(id);
    if (this.#first === undefined || !(await this.card(this.#first))) await this.list();
    if (this.#first === undefined)
      throw new ColophonError('No model is served.', { type: 'service_unavailable_error' });
    return this.find(this.#first);
  }

  async card(id: string): Promise<{ backend: Backend; card: ModelCard } | undefined> {
    for (const backend of this.#host.all('backend')) {
      const card = await backend.model(id);
      if (card) return { backend, card };
    }
    return undefined;
  }

  async close(): Promise<void> {
    for (const text of this.#texts.values()) {
      const texts = await text.catch(() => undefined);
      await texts?.encoder.close();
      await texts?.grammars.close();
    }
  }

  #text(backend: Backend, card: ModelCard): Promise<Texts> {
    const key = `${backend.name}\0${card.parent ?? card.id}`;
    let text = this.#texts.get(key);
    if (!text) {
      text = this.#read(backend, card).then(({ base, definition }) => {
        const model = new TextModel(definition);
        return {
          base,
          text: model,
          encoder: new Encoder(model, definition),
          grammars: new Grammars(() => model.grammarVocabulary()),
        };
      });
      text.catch(() => this.#texts.delete(key));
      this.#texts.set(key, text);
    }
    return text;
  }

  async #read(backend: Backend, card: ModelCard) {
    const base = card.parent === null ? card : ((await backend.model(card.parent)) ?? card);
    return { base, definition: await backend.text(card.id) };
  }

  async #unknown(id: string): Promise<ColophonError> {
    const names = id.length > 64 || this.#many ? [] : (await this.list()).map((card) => card.id);
    if (names.length > suggestedAmong) names.length = 0;
    const near = suggest(id, names);
    const shown = id.length > 100 ? `${id.slice(0, 100)}…` : id;
    return new ColophonError(
      `The model \`${shown}\` does not exist.${near ? ` Did you mean \`${near}\`?` : ''}`,
      {
        type: 'not_found_error',
        code: 'model_not_found',
        param: 'model',
      },
    );
  }
}
