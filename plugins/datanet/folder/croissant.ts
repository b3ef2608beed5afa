/** The description of an exported folder: Croissant 1.1 (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html). */
import type { ExampleKind, Split } from '../model.ts';
import type { ContributionRecord } from '../snapshots/provenance.ts';

export interface FolderFile {
  /** Within the folder, with slashes. */
  path: string;
  sha256: string;
  bytes: number;
}

export interface DescribedSnapshot {
  name: string;
  description: string;
  /** Unix seconds. */
  createdAt: number;
  snapshot: string;
  provenance: string;
  licences: string[];
  contributors: Iterable<ContributionRecord['contributor']>;
}

export interface Described extends DescribedSnapshot {
  kinds: readonly ExampleKind[];
  format: 'parquet' | 'jsonl';
  files: FolderFile[];
  /** Files of rows, by split. */
  splits: Partial<Record<Split, string>>;
}

const context = {
  '@language': 'en',
  '@vocab': 'https://schema.org/',
  citeAs: 'cr:citeAs',
  column: 'cr:column',
  conformsTo: 'dct:conformsTo',
  cr: 'http://mlcommons.org/croissant/',
  rai: 'http://mlcommons.org/croissant/RAI/',
  data: { '@id': 'cr:data', '@type': '@json' },
  dataType: { '@id': 'cr:dataType', '@type': '@vocab' },
  dct: 'http://purl.org/dc/terms/',
  equivalentProperty: 'cr:equivalentProperty',
  examples: { '@id': 'cr:examples', '@type': '@json' },
  extract: 'cr:extract',
  field: 'cr:field',
  fileProperty: 'cr:fileProperty',
  fileObject: 'cr:fileObject',
  fileSet: 'cr:fileSet',
  format: 'cr:format',
  includes: 'cr:includes',
  isLiveDataset: 'cr:isLiveDataset',
  jsonPath: 'cr:jsonPath',
  key: 'cr:key',
  md5: 'cr:md5',
  parentField: 'cr:parentField',
  path: 'cr:path',
  prov: 'http://www.w3.org/ns/prov#',
  recordSet: 'cr:recordSet',
  references: 'cr:references',
  regex: 'cr:regex',
  repeated: 'cr:repeated',
  replace: 'cr:replace',
  sc: 'https://schema.org/',
  separator: 'cr:separator',
  source: 'cr:source',
  subField: 'cr:subField',
  transform: 'cr:transform',
};

const mediaTypes: Record<string, string> = {
  parquet: 'application/x-parquet',
  jsonl: 'application/jsonlines',
  json: 'application/json',
};

/** Columns of a kind's rows that are plain values; conversations are lists, and are left to the readers of the file. */
const kindColumns: Record<ExampleKind, string[]> = {
  chat: [],
  preference: [],
  completion: ['prompt', 'completion'],
  text: ['text'],
};

/** What a description of a snapshot begins with: all but its files and its records. */
export function croissantHead(described: DescribedSnapshot): object {
  const { name, snapshot, contributors, licences } = described;
  const agents = Array.from(contributors, ({ id, name: called, publicKey }) => ({
    '@type': ['prov:Agent', 'sc:Person'],
    '@id': `urn:colophon:${id}`,
    name: called,
    identifier: id,
    ...(publicKey === null ? {} : { 'prov:value': publicKey }),
  }));
  return {
    '@context': context,
    '@type': 'sc:Dataset',
    conformsTo: 'http://mlcommons.org/croissant/1.1',
    name,
    description: described.description || `The Datanet ${name}.`,
    license: licences.map((id) => `https://spdx.org/licenses/${id}.html`),
    version: `1.0.0+${snapshot.slice(0, 12)}`,
    datePublished: new Date(described.createdAt * 1000).toISOString().slice(0, 10),
    url: `urn:colophon:datanet:${name}@${snapshot}`,
    identifier: [snapshot, described.provenance],
    creator: agents.map(({ name: called, identifier }) => ({
      '@type': 'sc:Person',
      name: called,
      identifier,
    })),
    citeAs: `${name}, snapshot ${snapshot}`,
    'prov:wasAttributedTo': agents,
  };
}

export const fileObject = ({ path, sha256, bytes }: FolderFile) => ({
  '@type': 'cr:FileObject',
  '@id': path,
  name: path,
  contentUrl: path,
  contentSize: `${bytes} B`,
  encodingFormat: mediaTypes[path.split('.').pop()!] ?? 'application/octet-stream',
  sha256,
});

export function croissant(described: Described): object {
  const { files, splits, kinds, format } = described;
  return {
    ...croissantHead(described),
    distribution: files.map(fileObject),
    recordSet: Object.entries(splits).map(([split, file]) => ({
      '@type': 'cr:RecordSet',
      '@id': split,
      name: split,
      description: `Examples of the split ${split}.`,
      field: fieldsOf(kinds, format).map(({ name: column, integer, source }) => ({
        '@type': 'cr:Field',
        '@id': `${split}/${column}`,
        name: column,
        dataType: integer ? 'sc:Integer' : 'sc:Text',
        source: { fileObject: { '@id': file }, ...source },
      })),
    })),
  };
}

function fieldsOf(kinds: readonly ExampleKind[], format: Described['format']) {
  const column = (name: string) => ({
    name,
    integer: name === 'line',
    source: { extract: { column: name } },
  });
  const metadata = ['hash', 'contribution', 'contributor', 'line'];
  const content = kinds.flatMap((kind) => kindColumns[kind]);
  if (format === 'parquet') return [...content, ...metadata].map(column);
  // Of JSON lines, who gave a row is an object in it.
  const inMetadata = (name: string) => ({
    ...column(name),
    source: { extract: { column: 'metadata' }, transform: { jsonPath: `$.${name}` } },
  });
  return [...content.map(column), ...metadata.map(inMetadata)];
}
