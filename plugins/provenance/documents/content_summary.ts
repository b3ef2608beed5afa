/**
 * The public summary of training content that Art. 53(1)(d) of Regulation (EU) 2024/1689 asks for, in the sections of the
 * Commission's template (C(2025) 8311). Of a model that was made by changing another it covers what the change was made with.
 */
import { type Facts, madeAt, timeOf, withdrawalSentences } from '../facts/facts.ts';
import { contributorsOf, givenBetween, licencesOf, type SnapshotFacts } from '../facts/snapshot.ts';
import type { Provider } from '../provider.ts';

/** Where an answer is from: what was recorded here, what the operator said, or nobody yet. */
export type AnswerOrigin = 'recorded' | 'provider' | 'open';

export interface SummaryField {
  name: string;
  /** Null: open. */
  answer: string | string[] | null;
  from: AnswerOrigin;
}

export interface SummarySection {
  number: string;
  title: string;
  fields: SummaryField[];
  sections?: SummarySection[];
}

export interface ContentSummary {
  template: string;
  model: string;
  sections: SummarySection[];
  /** What only the provider can say and has not: settings of `plugins.provenance.provider`. */
  open: string[];
}

export function contentSummary(facts: Facts): ContentSummary {
  const sections = [general(facts), sources(facts), processing(facts)];
  return {
    template: 'C(2025) 8311, Art. 53(1)(d) of Regulation (EU) 2024/1689',
    model: facts.adapter.name,
    sections,
    open: openOf(sections),
  };
}

const recorded = (name: string, answer: string | string[]): SummaryField => ({
  name,
  answer,
  from: 'recorded',
});

/** An answer that only the provider has. */
function told(name: string, answer: string | undefined): SummaryField {
  return answer === undefined ? { name, answer: null, from: 'open' } : { name, answer, from: 'provider' };
}

/** Of a time or a fact that may be missing from the records. */
const known = (name: string, answer: string | undefined): SummaryField =>
  answer === undefined ? { name, answer: null, from: 'open' } : recorded(name, answer);

function openOf(sections: readonly SummarySection[]): string[] {
  return sections.flatMap(({ number, fields, sections: inner = [] }) => [
    ...fields.filter(({ from }) => from === 'open').map(({ name }) => `${number} ${name}`),
    ...openOf(inner),
  ]);
}

function general(facts: Facts): SummarySection {
  const { adapter, provider } = facts;
  const at = madeAt(facts);
  return {
    number: '1',
    title: 'General information',
    fields: [known('Last update', at === undefined ? undefined : timeOf(at).slice(0, 10))],
    sections: [
      {
        number: '1.1',
        title: 'Provider identification',
        fields: [
          told('Provider name', provider.name),
          told('Contact', provider.contact),
          told('Authorised representative', provider.authorised_representative),
        ],
      },
      {
        number: '1.2',
        title: 'Model identification',
        fields: [
          recorded('Versioned model name', `${adapter.name} (content hash ${adapter.contentHash})`),
          recorded(
            'Model dependencies',
            `It changes ${adapter.base.name}${adapter.base.sha256 ? ` (SHA-256 ${adapter.base.sha256})` : ''}, whose own summary its provider publishes. This summary covers what the change was made with.`,
          ),
          told('Date of placement on the Union market', provider.market_date),
        ],
      },
      {
        number: '1.3',
        title: 'Modalities, overall size and other characteristics',
        fields: characteristics(facts),
      },
    ],
  };
}

function characteristics({ adapter, snapshot, provider }: Facts): SummaryField[] {
  const examples = adapter.data.map(({ role, examples: count }) => `${count} ${role} examples`);
  const bytes = snapshot?.splits.train.bytes ?? null;
  const given = snapshot && givenBetween(snapshot);
  const languages = Object.entries(snapshot?.curation?.languages ?? {}).sort(([, a], [, b]) => b - a);
  return [
    recorded('Modality', 'Text'),
    known(
      'Training data size',
      adapter.data.length === 0
        ? undefined
        : `${bytes !== null && bytes < 1e9 ? 'Less than 1 billion tokens: ' : ''}${examples.join(', ')}${bytes === null ? '' : `, ${bytes} bytes of training texts`}`,
    ),
    told('Types of content', provider.content_types ?? (snapshot?.datanet.domain || undefined)),
    known('Latest date of data acquisition', given ? timeOf(given[1]).slice(0, 7) : undefined),
    recorded('Trained on new data after that date', 'No: an adapter does not change once it is made.'),
    known(
      'Linguistic characteristics',
      languages.length === 0
        ? undefined
        : `Of the rows curated: ${languages.map(([code, rows]) => `${code} ${rows}`).join(', ')}`,
    ),
  ];
}

const answered = (source: Provider['crawled']): string | undefined =>
  source && `${source.used ? 'Yes' : 'No'}.${source.description ? ` ${source.description}` : ''}`;

function sources(facts: Facts): SummarySection {
  const { snapshot, provider, adapter } = facts;
  const given = snapshot ? bySource(snapshot) : { open: [], own: [] };
  const other = adapter.data.filter(({ datanet }) => datanet === null);
  const section = (number: string, title: string, fields: SummaryField[], sections?: SummarySection[]) => ({
    number,
    title,
    fields,
    ...(sections ? { sections } : {}),
  });
  return section(
    '2',
    'List of data sources',
    snapshot
      ? [
          recorded('Datanet', `${snapshot.datanet.name}, snapshot ${snapshot.snapshot.id}`),
          recorded('Licences', licencesOf(snapshot)),
          recorded(
            'Contributors',
            contributorsOf(snapshot).map(({ name, id }) => `${name} (${id})`),
          ),
        ]
      : [],
    [
      section('2.1', 'Publicly available datasets', [
        recorded(
          'Used',
          given.open.length > 0
            ? 'Yes: contributions that name an address on the web as their source.'
            : 'None that is recorded.',
        ),
        ...(given.open.length > 0 ? [recorded('Datasets', given.open)] : []),
      ]),
      section(
        '2.2',
        'Private non-publicly available datasets obtained from third parties',
        [],
        [
          section('2.2.1', 'Datasets commercially licensed by rightsholders or their representatives', [
            told('Licensing agreements concluded', answered(provider.licensed)),
          ]),
          section('2.2.2', 'Private datasets obtained from other third parties', [
            recorded(
              'Used',
              given.own.length > 0 ? 'Yes: contributions to the Datanet.' : 'None that is recorded.',
            ),
            ...(given.own.length > 0 ? [recorded('Datasets', given.own)] : []),
          ]),
        ],
      ),
      section('2.3', 'Data crawled and scraped from online sources', [
        told('Crawlers used by the provider or on its behalf', answered(provider.crawled)),
      ]),
      section('2.4', 'User data', [told('Data from interactions with users', answered(provider.user_data))]),
      section('2.5', 'Synthetic data', [
        told('Data made by AI models for this training', answered(provider.synthetic)),
      ]),
      section('2.6', 'Other sources of data', otherSources(facts, other)),
    ],
  );
}

function otherSources({ adapter, snapshot }: Facts, uploaded: Facts['adapter']['data']): SummaryField[] {
  if (uploaded.length > 0)
    return [
      recorded(
        'Uploaded files, of which only the bytes are known',
        uploaded.map(
          ({ role, file, sha256, examples }) => `${role}: ${file}, ${examples} examples, SHA-256 ${sha256}`,
        ),
      ),
      told('Where they come from', undefined),
    ];
  if (adapter.data.length === 0) return [told('What it was trained on', undefined)];
  if (!snapshot)
    return [
      recorded(
        'Datanets that are no longer here',
        adapter.data.map(({ file, examples }) => `${file}, ${examples} examples`),
      ),
      told('What they held', undefined),
    ];
  return [recorded('Used', 'None that is recorded.')];
}

/** Contributions by what they say of their source: an address on the web, or anything else. */
function bySource({ contributions }: SnapshotFacts): { open: string[]; own: string[] } {
  const lines = { open: [] as string[], own: [] as string[] };
  for (const { record, examples } of contributions) {
    const count = examples.train + examples.validation;
    if (count === 0) continue;
    const line = `${record.source}: ${count} examples under ${record.licence}, contribution ${record.id} of ${record.contributor.name}`;
    (/^https?:\/\//i.test(record.source.trim()) ? lines.open : lines.own).push(line);
  }
  return lines;
}

function processing(facts: Facts): SummarySection {
  const { provider, snapshot } = facts;
  const withdrawn = withdrawalSentences(facts);
  const stages = Object.entries(snapshot?.curation?.stages ?? {});
  return {
    number: '3',
    title: 'Data processing aspects',
    fields: [],
    sections: [
      {
        number: '3.1',
        title: 'Respect of reservation of rights from the text and data mining exception or limitation',
        fields: [
          told(
            'Signatory of the Code of Practice',
            provider.code_of_practice === undefined ? undefined : provider.code_of_practice ? 'Yes.' : 'No.',
          ),
          ...(snapshot
            ? [
                recorded(
                  'Measures taken by the Datanet',
                  'Each contribution names its licence (SPDX), its source and the right to give it; what the licence policy forbids is refused. Contributors can withdraw what they gave: its texts are erased and no later training has them.',
                ),
                recorded('Withdrawals since this training', withdrawn.length > 0 ? withdrawn : 'None.'),
              ]
            : []),
          told('Measures to respect reservations of rights', provider.opt_outs),
        ],
      },
      {
        number: '3.2',
        title: 'Removal of illegal content',
        fields: [
          ...(stages.length > 0
            ? [
                recorded(
                  'What the curation did',
                  stages.map(
                    ([stage, { quarantine, duplicate, mask }]) =>
                      `${stage}: ${quarantine} rows set aside, ${duplicate} linked to another, ${mask} masked`,
                  ),
                ),
              ]
            : []),
          told('Measures to avoid or remove illegal content', provider.illegal_content),
        ],
      },
      {
        number: '3.3',
        title: 'Other information',
        fields: provider.comments === undefined ? [] : [told('Comments', provider.comments)],
      },
    ],
  };
}
