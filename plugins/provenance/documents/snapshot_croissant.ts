/**
 * The snapshot that it learned from in Croissant 1.1 (docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html): who gave each
 * example, and no text. The texts' files are named with their hashes and stay with the Datanet.
 */
import { croissantHead, type FolderFile, fileObject } from '../../datanet/folder/croissant.ts';
import { dayOf, type Facts, withdrawalSentences } from '../facts/facts.ts';
import { contributorsOf, givenBetween, licencesOf, type SnapshotFacts } from '../facts/snapshot.ts';

/** Of the bundle: a line for each example, and for each contribution. */
export interface SnapshotFiles {
  examples: FolderFile;
  contributions: FolderFile;
}

export function snapshotCroissant(facts: Facts, known: SnapshotFacts, files: SnapshotFiles): object {
  const { datanet, snapshot } = known;
  return {
    ...croissantHead({
      name: datanet.name,
      description: datanet.description,
      createdAt: snapshot.createdAt,
      snapshot: snapshot.id,
      provenance: snapshot.provenance ?? '',
      licences: licencesOf(known),
      contributors: contributorsOf(known),
    }),
    ...languages(known),
    ...responsible(facts, known),
    distribution: [
      fileObject(files.examples),
      fileObject(files.contributions),
      ...facts.adapter.data
        .filter(({ snapshot: id, sha256 }) => id === snapshot.id && sha256)
        .map(({ role, file, sha256 }) => ({
          '@type': 'cr:FileObject',
          '@id': role,
          name: role,
          description: `The texts of the ${role} data, as a gateway with this Datanet serves them to those who may read it.`,
          contentUrl: `v1/files/${file}/content`,
          ...sizeOf(known, file),
          encodingFormat: 'application/jsonlines',
          sha256,
        })),
    ],
    recordSet: [
      {
        '@type': 'cr:RecordSet',
        '@id': 'examples',
        name: 'examples',
        description:
          'Who gave each example: its hash, its contribution and line there, its split and near-duplicate cluster.',
        key: { '@id': 'examples/hash' },
        field: [
          column('examples', files.examples, 'hash'),
          {
            ...column('examples', files.examples, 'contribution'),
            references: { field: { '@id': 'contributions/id' } },
          },
          {
            ...column('examples', files.examples, 'contributor'),
            equivalentProperty: 'prov:wasAttributedTo',
          },
          column('examples', files.examples, 'line', 'sc:Integer'),
          column('examples', files.examples, 'split'),
          column('examples', files.examples, 'cluster', 'sc:Integer'),
        ],
      },
      {
        '@type': 'cr:RecordSet',
        '@id': 'contributions',
        name: 'contributions',
        description: 'What each contribution says of itself.',
        key: { '@id': 'contributions/id' },
        field: [
          column('contributions', files.contributions, 'id'),
          column('contributions', files.contributions, 'sha256'),
          { ...column('contributions', files.contributions, 'licence'), equivalentProperty: 'sc:license' },
          column('contributions', files.contributions, 'source'),
          column('contributions', files.contributions, 'rights'),
          column('contributions', files.contributions, 'state'),
        ],
      },
    ],
  };
}

const column = (set: string, file: FolderFile, name: string, dataType = 'sc:Text') => ({
  '@type': 'cr:Field',
  '@id': `${set}/${name}`,
  name,
  dataType,
  source: { fileObject: { '@id': file.path }, extract: { column: name } },
});

function sizeOf({ splits }: SnapshotFacts, file: string): { contentSize?: string } {
  const split = /:(validation|test)$/.exec(file)?.[1] as 'validation' | 'test' | undefined;
  const { bytes } = splits[split ?? 'train'];
  return bytes === null ? {} : { contentSize: `${bytes} B` };
}

function languages({ curation }: SnapshotFacts): { inLanguage?: string[] } {
  const told = Object.keys(curation?.languages ?? {}).filter((code) => code !== 'unknown');
  return told.length === 0 ? {} : { inLanguage: told.sort() };
}

/** Of the RAI vocabulary (docs.mlcommons.org/croissant/docs/croissant-rai-spec.html) what the Datanet knows. */
function responsible(facts: Facts, known: SnapshotFacts): object {
  const { curation } = known;
  const given = givenBetween(known);
  const personal = Object.entries(curation?.personal ?? {}).filter(([, count]) => count > 0);
  const withdrawn = withdrawalSentences(facts);
  return {
    'rai:dataCollection':
      'Files of examples that named contributors gave to a Datanet, each under a licence and with a statement of the right to give it, accepted by a curator.',
    ...(given ? { 'rai:dataCollectionTimeframe': given.map(dayOf) } : {}),
    ...(curation
      ? {
          'rai:dataPreprocessingProtocol': Object.entries(curation.stages).map(
            ([stage, { quarantine, duplicate, mask, note }]) =>
              `${stage}: ${quarantine} rows set aside, ${duplicate} linked to another, ${mask} masked, ${note} noted`,
          ),
        }
      : {}),
    ...(personal.length > 0
      ? {
          'rai:personalSensitiveInformation': personal.map(
            ([kind, count]) => `${kind}: seen ${count} times by the curation`,
          ),
        }
      : {}),
    ...(withdrawn.length > 0 ? { 'rai:dataLimitations': withdrawn } : {}),
  };
}
