/** What a curator can set of each stage. Experts read the descriptions beside the fields, so they say what a value does. */
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';

const enabled = (value: boolean, description: string) => Type.Boolean({ default: value, description });
const limit = (description: string) =>
  Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], { default: null, description });
const mode = (description: string) =>
  Type.Union([Type.Literal('off'), Type.Literal('find'), Type.Literal('mask'), Type.Literal('refuse')], {
    default: 'mask',
    description: `${description} find: the row is noted and stays; mask: it becomes a placeholder such as [EMAIL]; refuse: the row is set aside.`,
  });
const stage = <Properties extends Parameters<typeof Type.Object>[0]>(
  description: string,
  properties: Properties,
) => Type.Object(properties, { default: {}, description, additionalProperties: false });

export const CurationSettings = Type.Object(
  {
    model: Type.String({
      default: '',
      maxLength: 256,
      description:
        'Base model of the stages that ask one (tokens, paraphrases, surprise); empty: the first that is served.',
    }),
    licence: stage("Whether each contribution's licence fits the Datanet's policy.", {
      enabled: enabled(true, 'Set aside rows whose contribution has a licence that the policy forbids.'),
    }),
    schema: stage("Whether rows meet the Datanet's JSON schema.", {
      enabled: enabled(true, 'Set aside rows that do not meet it.'),
    }),
    unicode: stage('Characters that cannot be seen, are broken, or are written in more than one way.', {
      enabled: enabled(
        true,
        'Write the same text in one way (Unicode NFC) and take out invisible characters.',
      ),
      whitespace: Type.Boolean({
        default: true,
        description: 'Make odd spaces plain, and drop spaces at ends of lines and more than two empty lines.',
      }),
      mojibake: Type.Union([Type.Literal('repair'), Type.Literal('quarantine'), Type.Literal('off')], {
        default: 'repair',
        description: 'What to do with UTF-8 that was once read as Windows-1252 ("cafÃ©").',
      }),
    }),
    pii: stage('What tells of a person, and secrets.', {
      email: mode('E-mail addresses.'),
      phone: mode('Phone numbers.'),
      card: mode('Payment card numbers (with a right check digit).'),
      iban: mode('Bank accounts (IBAN with right check digits).'),
      ip: mode('Public IP addresses.'),
      ssn: mode('US social security numbers.'),
      secret: mode('API keys, tokens, passwords in URLs and private keys.'),
      phoneCountry: Type.String({
        default: '',
        pattern: '^([A-Z]{2})?$',
        description:
          'Country (ISO 3166, "US") whose national phone numbers are found too; empty: international ones only.',
      }),
    }),
    language: stage('Which language rows are in.', {
      enabled: enabled(true, 'Tell the language of each row in the report.'),
      allowed: Type.Array(Type.String({ pattern: '^[a-z]{2}$' }), {
        default: [],
        description:
          'Languages (ISO 639-1, "en") that are kept; empty: all. Rows whose language is not certain stay.',
      }),
      minCharacters: Type.Integer({
        default: 40,
        minimum: 1,
        description: 'Letters below which a row is too short to tell.',
      }),
    }),
    length: stage('How long rows are. All limits are inclusive; null: none.', {
      enabled: enabled(true, 'Count and limit.'),
      minCharacters: Type.Integer({ default: 1, minimum: 0, description: 'Fewest characters.' }),
      maxCharacters: limit('Most characters.'),
      minWords: Type.Integer({ default: 0, minimum: 0, description: 'Fewest words.' }),
      maxWords: limit('Most words.'),
      maxTokens: limit("Most tokens, by the base model's tokenizer: longer ones would be cut in training."),
    }),
    contamination: stage('Whether rows have what held-out sets ask for, so that a test would be no test.', {
      enabled: enabled(
        true,
        'Set aside rows that share 13 words in a row with a held-out text, or all of a shorter one of at least 5.',
      ),
      heldOut: Type.Array(Type.String({ minLength: 1, maxLength: 256 }), {
        default: [],
        maxItems: 100,
        description: 'Files with held-out rows, "file-..." or "datanet:NAME@SNAPSHOT:test".',
      }),
      paraphrase: enabled(
        false,
        'Set aside rows that say the same as a held-out text in other words, by embeddings of the base model.',
      ),
      cosine: Type.Number({
        default: 0.9,
        minimum: -1,
        maximum: 1,
        description:
          'Least cosine of two embeddings to mean the same. Raised by itself where held-out texts are nearer to each other than that.',
      }),
    }),
    duplicates: stage('Rows that are the same, or nearly.', {
      enabled: enabled(
        true,
        'Keep the first contributed of each cluster and set the others aside, linked to it.',
      ),
      threshold: Type.Number({
        default: 0.7,
        minimum: 0.3,
        maximum: 1,
        description:
          'Least share of shingles (five words in a row; five characters of short texts) that two rows have in common.',
      }),
      permutations: Type.Integer({
        default: 128,
        minimum: 16,
        maximum: 512,
        description: 'Hash functions of MinHash: more miss fewer near the threshold and take longer.',
      }),
    }),
    surprise: stage(
      'Rows that the base model finds far harder or easier than most: garbage and boilerplate.',
      {
        enabled: enabled(false, 'Run every row through the base model. Takes long.'),
        deviations: Type.Number({
          default: 5,
          minimum: 1,
          description:
            'Robust z-score (0.6745 (x - median) / MAD) of the loss per token from which a row stands out.',
        }),
        action: Type.Union([Type.Literal('note'), Type.Literal('quarantine')], {
          default: 'note',
          description: 'Whether rows that stand out are noted or set aside.',
        }),
      },
    ),
  },
  { default: {}, additionalProperties: false },
);
export type CurationSettings = Static<typeof CurationSettings>;

/** What a Datanet or a request says of them: any of them. */
export const CurationChange = Type.Partial(
  Type.Object({
    ...CurationSettings.properties,
    ...Object.fromEntries(
      Object.entries(CurationSettings.properties).flatMap(([name, schema]) =>
        schema.type === 'object' ? [[name, Type.Partial(schema, { additionalProperties: false })]] : [],
      ),
    ),
  }),
  { additionalProperties: false },
);
export type CurationChange = { [Stage in keyof CurationSettings]?: Partial<CurationSettings[Stage]> };

/** The defaults, with changes over them; of two that change the same, the later. */
export function settingsOf(...changes: Array<CurationChange | null | undefined>): CurationSettings {
  const settings = Value.Default(CurationSettings, {}) as Record<string, unknown>;
  for (const change of changes) {
    for (const [name, said] of Object.entries(change ?? {})) {
      settings[name] = typeof said === 'object' ? { ...(settings[name] as object), ...said } : said;
    }
  }
  return settings as CurationSettings;
}
