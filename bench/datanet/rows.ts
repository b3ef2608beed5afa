/**
 * Rows like those of a medical Datanet, from a seed, with known faults and known duplicates. A family is a row and copies of it
 * that say less and less the same; which of them are near duplicates is told by the exact similarity of their shingles as texts,
 * computed here from the definition (Datanets' setting `duplicates.threshold`), with nothing of what is measured.
 */
import { seeded } from '../lib/random.ts';

export interface BenchRow {
  question: string;
  answer: string;
  /** Of near duplicates; rows of one number are of one cluster. */
  cluster: number;
  fault?: 'address' | 'mojibake' | 'lost';
}

export const threshold = 0.7;

/** Shares of rows. */
const faulty = 0.02;
const copied = 0.1;

/** Rows that wait to be given out, so that copies do not follow one another. */
const waiting = 5000;

export function* benchRows(count: number, seed: number): Generator<BenchRow> {
  const random = seeded(seed);
  const below = (end: number) => Math.floor(random() * end);
  const word = vocabulary(random);
  const pool: BenchRow[] = [];
  let cluster = 0;
  let made = 0;
  while (made < count || pool.length > 0) {
    while (made < count && pool.length < waiting) {
      const question = sentence(random() < 0.4 ? 6 + below(8) : 25 + below(35), word);
      const row = { question, answer: `${code(below)} ${sentence(3, word)}` };
      const kind = random();
      if (kind < faulty) pool.push({ ...row, ...fault(row.question, below), cluster: cluster++ });
      else if (kind < faulty + copied) {
        const family = [row, ...Array.from({ length: 1 + below(4) }, () => copyOf(row, word, random))];
        const roots = clustersIn(family);
        pool.push(...family.map((one, at) => ({ ...one, cluster: cluster + roots[at]! })));
        cluster += family.length;
        made += family.length - 1;
      } else pool.push({ ...row, cluster: cluster++ });
      made++;
    }
    const at = below(pool.length);
    const [row] = pool.splice(at, 1);
    yield row!;
    if (made >= count && pool.length <= made - count) return;
  }
}

/** Words as medical terms are made, the usual ones often. */
function vocabulary(random: () => number): () => string {
  const stems = 'cardi neur hepat nephr derm oste arthr my gastr enter bronch pneum ot rhin ophthalm'.split(
    ' ',
  );
  const ends = 'itis osis algia oma opathy emia ectomy ic al ary'.split(' ');
  const usual =
    `of the with without due to and other unspecified acute chronic left right upper lower initial subsequent
    encounter for closed open fracture disorder disease injury infection type primary secondary`.split(/\s+/);
  const parts = 'ba ce di fo gu ha ki lo mu ne pa qui ra so tu ve wa xe yl zo'.split(' ');
  const pick = (list: string[]) => list[Math.floor(random() * list.length)]!;
  return () => {
    if (random() < 0.3) return pick(usual);
    return random() < 0.2 ? pick(stems) + pick(ends) : pick(parts) + pick(parts) + pick(parts) + pick(stems);
  };
}

const sentence = (words: number, word: () => string) => Array.from({ length: words }, word).join(' ');

const code = (below: (end: number) => number) =>
  `${String.fromCharCode(65 + below(26))}${10 + below(90)}.${below(10)}`;

function fault(question: string, below: (end: number) => number): Pick<BenchRow, 'question' | 'fault'> {
  switch (below(3)) {
    case 0:
      return { question: `${question} ask m${below(1e6)}@example.org`, fault: 'address' };
    case 1:
      return { question: `${question} na\u00c3\u00afve`, fault: 'mojibake' };
    default:
      return { question: `${question} lost \ufffd`, fault: 'lost' };
  }
}

type Text = Pick<BenchRow, 'question' | 'answer'>;

/** The same; the same in other letters; with a word changed; with some. */
function copyOf({ question, answer }: Text, word: () => string, random: () => number): Text {
  const kind = random();
  if (kind < 0.25) return { question, answer };
  const words = question.split(' ');
  if (kind < 0.5) {
    const noisy = words.map((one) => (random() < 0.2 ? one.toUpperCase() : random() < 0.1 ? `${one},` : one));
    return { question: `${noisy.join(' ')}.`, answer };
  }
  const changes = kind < 0.8 ? 1 : 2 + Math.floor(random() * 3);
  for (let i = 0; i < changes; i++) words[Math.floor(random() * words.length)] = word();
  return { question: words.join(' '), answer };
}

/** Of each text the first to which it is near, over any number of others. */
function clustersIn(family: Text[]): number[] {
  const sets = family.map(({ question, answer }) => shingles(`${question}\n${answer}`));
  const roots = family.map((_, at) => at);
  for (let a = 0; a < sets.length; a++) {
    for (let b = 0; b < a; b++) {
      if (roots[a] === roots[b] || similarity(sets[a]!, sets[b]!) < threshold) continue;
      const [from, to] = [Math.max(roots[a]!, roots[b]!), Math.min(roots[a]!, roots[b]!)];
      for (const [at, root] of roots.entries()) if (root === from) roots[at] = to;
    }
  }
  return roots;
}

/** Five words in a row; of texts of less than twenty, five characters. */
function shingles(text: string): Set<string> {
  const words = text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  const units = words.length >= 20 ? words : [...words.join(' ')];
  const between = words.length >= 20 ? ' ' : '';
  return new Set(units.slice(4).map((_, at) => units.slice(at, at + 5).join(between)));
}

function similarity(a: Set<string>, b: Set<string>): number {
  let both = 0;
  for (const one of a) if (b.has(one)) both++;
  return both / (a.size + b.size - both);
}
