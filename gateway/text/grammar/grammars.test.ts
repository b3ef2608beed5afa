import { afterAll, describe, expect, it } from 'vitest';
import { smollm2 } from '../fixtures/smollm2.ts';
import { TextModel } from '../text_model.ts';
import type { Grammar } from './grammar.ts';
import { type Constraint, type GrammarLimits, Grammars } from './grammars.ts';

const text = new TextModel(smollm2());
const end = text.endTokenIds[0]!;
const made: Grammars[] = [];
const make = (limits: Partial<GrammarLimits> = {}) => {
  const grammars = new Grammars(() => text.grammarVocabulary(), limits);
  made.push(grammars);
  return grammars;
};
const shared = make();
afterAll(() => Promise.all(made.map((grammars) => grammars.close())));

const allows = (mask: Uint32Array, id: number) => ((mask[id >> 5]! >>> (id & 31)) & 1) === 1;

/** Whether the text, as the tokenizer cuts it, is allowed token by token; and whether it may end there. */
async function follow(constraint: Constraint, answer: string): Promise<{ allowed: boolean; ends: boolean }> {
  let mask = constraint.first;
  for (const id of text.encode(answer, { special: 'plain' })) {
    if (!allows(mask, id)) return { allowed: false, ends: false };
    mask = await constraint.next(id);
  }
  return { allowed: true, ends: allows(mask, end) };
}

async function judge(grammar: Grammar, answer: string, grammars = shared): Promise<string> {
  const constraint = await grammars.constrain(grammar, 'field');
  const { allowed, ends } = await follow(constraint, answer);
  constraint.close();
  return allowed ? (ends ? 'whole' : 'open') : 'refused';
}

const person: Grammar = {
  kind: 'json',
  schema: {
    type: 'object',
    properties: { name: { type: 'string' }, age: { type: 'integer', minimum: 0, maximum: 120 } },
    required: ['name', 'age'],
    additionalProperties: false,
  },
};

describe('grammars', () => {
  it.each<[Grammar, Record<string, string>]>([
    [
      person,
      {
        '{"name": "Åsa 😀 \\n", "age": 42}': 'whole',
        '{"name": "Åsa", "age": 4': 'open',
        '{"name": "Åsa", "age": 200}': 'refused',
        '{"age": 42}': 'refused',
        '{"name": "Åsa"}': 'refused',
        'Sure! {"name"': 'refused',
        '': 'open',
      },
    ],
    [
      { kind: 'json', schema: { type: 'object' } },
      { '{}': 'whole', '{"a": [1, -2.5e3, null, true, {"b": ""}]}': 'whole', '[1]': 'refused' },
    ],
    [
      { kind: 'json', schema: { type: 'array' } },
      { '[1, "a"]': 'whole', '{}': 'refused' },
    ],
    [
      { kind: 'regex', pattern: '^[0-9]{3}-(?:[a-z]|ü)+$' },
      { '123-über': 'whole', '123-': 'open', '1234': 'refused', x: 'refused' },
    ],
    [
      { kind: 'choice', choices: ['yes', 'yes, "quoted"\n', 'über'] },
      { yes: 'whole', 'yes, "quoted"\n': 'whole', 'yes,': 'open', über: 'whole', no: 'refused' },
    ],
    [
      { kind: 'ebnf', text: 'root ::= term ("+" term)*\nterm ::= [0-9]+ | "(" root ")"' },
      { '1+(2+33)': 'whole', '1+': 'open', '1+)': 'refused' },
    ],
  ])('%j allows what it says and ends only where it is complete', async (grammar, answers) => {
    for (const [answer, verdict] of Object.entries(answers)) {
      expect(await judge(grammar, answer), answer).toBe(verdict);
    }
  });

  it('never allow a special token, and the end only at the end', async () => {
    const constraint = await shared.constrain({ kind: 'regex', pattern: '(.|\\n)*' }, 'field');
    for (const name of ['<|im_start|>', '<repo_name>']) {
      const [id, ...more] = text.encode(name);
      expect(more).toEqual([]);
      expect(allows(constraint.first, id!), name).toBe(false);
    }
    expect(allows(constraint.first, end)).toBe(true);
    constraint.close();
    const choice = await shared.constrain({ kind: 'choice', choices: ['a'] }, 'field');
    expect(allows(choice.first, end)).toBe(false);
    choice.close();
  });

  it('keep answers apart that follow one grammar at once', async () => {
    const grammar: Grammar = { kind: 'choice', choices: ['one two three', 'four five six'] };
    const [a, b] = await Promise.all([shared.constrain(grammar, 'f'), shared.constrain(grammar, 'f')]);
    const [first, second] = await Promise.all([follow(a, 'one two'), follow(b, 'four five six')]);
    expect([first, second]).toEqual([
      { allowed: true, ends: false },
      { allowed: true, ends: true },
    ]);
    a.close();
    b.close();
  });

  it.each<[string, Grammar, RegExp]>([
    ['a rule that is not there', { kind: 'ebnf', text: 'root ::= foo' }, /Rule "foo" is not defined/],
    ['no root', { kind: 'ebnf', text: 'start ::= "a"' }, /root rule with name "root" is not found/],
    ['an open class', { kind: 'regex', pattern: '[0-9' }, /Unclosed '\['/],
    ['a lookbehind', { kind: 'regex', pattern: '(?<=a)b' }, /Lookbehind is not supported/],
    ['a type that is none', { kind: 'json', schema: { type: 'nope' } }, /Unsupported type "nope"/],
    ['a reference to nowhere', { kind: 'json', schema: { $ref: '#/nowhere' } }, /Cannot find field nowhere/],
    ['a schema that is none', { kind: 'json', schema: [1] }, /must be an object or true/],
    ['what nothing can be', { kind: 'json', schema: false }, /cannot accept any value/],
    ['too much', { kind: 'regex', pattern: 'a'.repeat(200_000) }, /131072 are the most/],
  ])('name what is wrong: %s', async (_name, grammar, sentence) => {
    await expect(shared.constrain(grammar, 'response_format')).rejects.toMatchObject({
      status: 400,
      param: 'response_format',
      code: 'invalid_grammar',
      message: expect.stringMatching(sentence),
    });
    expect(await judge({ kind: 'choice', choices: ['a'] }, 'a')).toBe('whole');
  });

  it('are compiled once however often they are asked for, and again where they were given up', async () => {
    const grammars = make({ kept: 1 });
    const one = await Promise.all(Array.from({ length: 20 }, () => grammars.constrain(person, 'f')));
    // Given up for another, it goes on for the answers that follow it.
    expect(await judge({ kind: 'choice', choices: ['a'] }, 'a', grammars)).toBe('whole');
    for (const constraint of one) {
      expect(await follow(constraint, '{"name": "x", "age": 1}')).toEqual({ allowed: true, ends: true });
      constraint.close();
    }
    expect(await judge(person, '{"name": "x", "age": 1}', grammars)).toBe('whole');
  });

  it('that are slow stay apart, and make room where nobody follows them', async () => {
    const grammars = make({ quickMs: -1, threads: 1 });
    const first = await grammars.constrain(person, 'f');
    let arrived = false;
    const second = grammars.constrain({ kind: 'choice', choices: ['a'] }, 'f').then((constraint) => {
      arrived = true;
      return constraint;
    });
    expect(await follow(first, '{"name": "x", "age": 1}')).toEqual({ allowed: true, ends: true });
    expect(arrived).toBe(false);
    first.close();
    expect(await follow(await second, 'a')).toEqual({ allowed: true, ends: true });
    (await second).close();
    expect(await judge(person, '{"name": "x", "age": 1}', grammars)).toBe('whole');
  });

  it('that take too long are refused, and those that wait for their thread go on', async () => {
    const grammars = make({ compileMs: 1000, threads: 1, waiting: 1 });
    const endless: Grammar = { kind: 'regex', pattern: '([a-z]{1,200}){1,200}' };
    const refused = grammars.constrain(endless, 'f');
    const next = grammars.constrain({ kind: 'choice', choices: ['a'] }, 'f');
    await expect(grammars.constrain({ kind: 'choice', choices: ['b'] }, 'f')).rejects.toMatchObject({
      status: 429,
    });
    await expect(refused).rejects.toThrow(/longer than 1 s to compile/);
    (await next).close();
  });

  it('refuse new answers once they are closed', async () => {
    const grammars = make();
    const open = await grammars.constrain({ kind: 'choice', choices: ['ab'] }, 'f');
    await grammars.close();
    await expect(open.next(0)).rejects.toMatchObject({ status: 500 });
    await expect(grammars.constrain(person, 'f')).rejects.toMatchObject({ status: 503 });
  });
});
