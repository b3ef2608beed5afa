/** The ICD-10-CM tabular list: chapters of codes in words, from the XML in which the CDC publishes it. */
import { SaxesParser } from 'saxes';
import { ColophonError } from '../../../gateway/contract/index.ts';

export interface Code {
  /** "I45.4"; of a category three characters. */
  name: string;
  /** Its category's. */
  category: string;
  description: string;
  /** Other words for it. */
  terms: string[];
  /** No codes are below it. */
  leaf: boolean;
}

export interface Chapter {
  number: number;
  title: string;
  /** In the list's order; a category stands before its codes. */
  codes: Code[];
}

/** Deeper elements are no tabular list. */
const deepest = 64;
/** Longest text of an element, characters. */
const textCharacters = 10_000;

/** Reads the whole list. Throws `damaged_file` for what is not XML, or has no chapters. */
export async function readTabularList(source: AsyncIterable<Uint8Array>): Promise<Chapter[]> {
  const chapters: Chapter[] = [];
  const path: string[] = [];
  const open: Code[] = [];
  let text = '';
  const parser = new SaxesParser();
  parser.on('error', (error) => {
    throw refused(`it is not XML (${error.message})`);
  });
  parser.on('opentag', ({ name }) => {
    if (path.length === deepest) throw refused(`its elements are nested more than ${deepest} deep`);
    path.push(name);
    text = '';
    if (name === 'chapter') chapters.push({ number: 0, title: '', codes: [] });
    if (name !== 'diag') return;
    const chapter = chapters.at(-1);
    if (!chapter) throw refused('it has a code outside of a chapter');
    if (open.length > 0) open.at(-1)!.leaf = false;
    const code = { name: '', category: open[0]?.name ?? '', description: '', terms: [], leaf: true };
    chapter.codes.push(code);
    open.push(code);
  });
  parser.on('text', (piece) => {
    if (text.length < textCharacters) text += piece;
  });
  parser.on('closetag', ({ name }) => {
    path.pop();
    const said = text.replace(/\s+/g, ' ').trim();
    text = '';
    if (name === 'diag') open.pop();
    const code = open.at(-1);
    const parent = path.at(-1);
    if (parent === 'chapter') {
      const chapter = chapters.at(-1)!;
      if (name === 'name') chapter.number = Number(said);
      if (name === 'desc') chapter.title = said.replace(/ \([A-Z0-9]+-[A-Z0-9]+\)$/, '');
    } else if (code && parent === 'diag') {
      if (name === 'desc') code.description = said;
      if (name === 'name') {
        code.name = said;
        if (open.length === 1) code.category = said;
      }
    } else if (code && parent === 'inclusionTerm' && name === 'note' && said !== '') code.terms.push(said);
  });
  const decoder = new TextDecoder();
  for await (const chunk of source) parser.write(decoder.decode(chunk, { stream: true }));
  parser.write(decoder.decode()).close();
  if (chapters.length === 0) throw refused('it has no chapters');
  return chapters;
}

function refused(why: string): ColophonError {
  return new ColophonError(
    `The file is no ICD-10-CM tabular list: ${why}. Name the XML that the CDC publishes.`,
    {
      code: 'damaged_file',
    },
  );
}
