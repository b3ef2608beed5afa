/**
 * What structured output costs those beside it: 64 sequences decode, 8 of them kept to a grammar whose masks come from the
 * gateway's threads as they do in the server, beside the same 64 without.
 *
 *     npm run -s bench -- structured [--repeats N] [--quick] [--model FILE] [--threads N] [--output FILE]
 */
import { availableParallelism } from 'node:os';
import { resolveModel } from '../../gateway/models/index.ts';
import type { Grammar } from '../../gateway/text/grammar/grammar.ts';
import { type Constraint, Grammars } from '../../gateway/text/grammar/grammars.ts';
import { TextModel } from '../../gateway/text/text_model.ts';
import { FinishReason, type NativeEngine, native, type StepResult } from '../../native/binding/index.ts';
import { textDefinitionOfGguf } from '../../plugins/backends/native/gguf_text.ts';
import { readArguments, wholeNumber } from '../lib/arguments.ts';
import { greedy } from '../lib/greedy.ts';
import { publish, runBench, say } from '../lib/main.ts';
import { randomPrompts } from '../lib/random.ts';
import { caseResult, report } from '../lib/report.ts';
import { median, significant } from '../lib/statistics.ts';
import { decodeRate, type Timeline } from '../lib/timeline.ts';
import { atOnce, promptTokens, staggerTokens } from '../serving/cases.ts';

const constrainedOnes = 8;

/** Pairs of a JSON object that never ends, so that every sequence decodes as long as every other. */
const grammar: Grammar = {
  kind: 'ebnf',
  text: String.raw`root ::= pair root
pair ::= "\"" [a-z] [a-z_]* "\": " ("[" number (", " number)* "]" | number | "\"" [^"\\\n]* "\"") ", "
number ::= "-"? [1-9] [0-9]* ("." [0-9]+)?`,
};

/** Decodes all at once, the first `constraints.length` of them constrained; gives the time of every token. */
function decoder(engine: NativeEngine) {
  let take: ((step: StepResult) => void) | undefined;
  engine.onStep((step) => take?.(step));
  return (prompts: number[][], generate: number, constraints: Constraint[]): Promise<Timeline> =>
    new Promise((done, failed) => {
      const times: Timeline = prompts.map(() => []);
      const indices = new Map<number, number>();
      let left = prompts.length;
      take = (step) => {
        const now = performance.now() / 1000;
        if (step.errors?.[0]) failed(new Error(step.errors[0].message));
        for (let i = 0; i < step.sequence.length; i++) {
          const sequence = step.sequence[i]!;
          const index = indices.get(sequence)!;
          if (step.token[i]! >= 0) times[index]!.push(now);
          if (step.finish[i] !== FinishReason.none) left--;
          else {
            const position = step.position[i]! + 1;
            constraints[index]
              ?.next(step.token[i]!)
              .then((mask) => engine.setMask(sequence, position, mask))
              .catch(failed);
          }
        }
        if (left === 0) done(times);
      };
      for (const [index, prompt] of prompts.entries()) {
        const sequence = engine.submit({
          prompt,
          maxTokens: generate,
          sampling: { ...greedy, temperature: 1, seed: BigInt(index) },
          stopTokenIds: [],
          mask: constraints[index]?.first,
        });
        indices.set(sequence, index);
      }
    });
}

async function main(argv: string[]): Promise<void> {
  const args = readArguments(argv, {
    cases: [],
    peers: [],
    values: ['model', 'threads', 'output'],
    switches: [],
  });
  const model = await resolveModel(args.flags.get('model') as string | undefined);
  const engine = await native().createEngine({
    model: { format: 'gguf', path: model.path },
    threads: wholeNumber(args.flags, 'threads', availableParallelism()),
    kvBytes: 2 ** 30,
    adapterBytes: 0,
    speculate: false,
  });
  const text = new TextModel(textDefinitionOfGguf(await native().readGgufMetadata(model.path)));
  const grammars = new Grammars(() => text.grammarVocabulary());
  const decode = decoder(engine);
  const generate = staggerTokens + (args.quick ? 16 : 64);
  const kinds = { free: 0, constrained: constrainedOnes };
  const rates = { free: [] as number[], constrained: [] as number[] };
  const others = { free: [] as number[], constrained: [] as number[] };
  // Round 0 warms up: it is not counted.
  for (let round = 0; round <= args.repeats; round++) {
    for (const kind of ['free', 'constrained'] as const) {
      const constraints = await Promise.all(
        Array.from({ length: kinds[kind] }, () => grammars.constrain(grammar, 'grammar')),
      );
      const prompts = randomPrompts({
        count: atOnce,
        tokens: promptTokens,
        vocabulary: text.vocabularySize,
        seed: round,
      });
      const times = await decode(prompts, generate, constraints);
      for (const constraint of constraints) constraint.close();
      if (round === 0) continue;
      rates[kind].push(decodeRate(times));
      others[kind].push(decodeRate(times.slice(constrainedOnes)));
      say(`${kind} ${round}/${args.repeats}: ${significant(rates[kind].at(-1)!, 4)} tok/s`);
    }
  }
  await grammars.close();
  await engine.close();
  const result = report('structured', [
    caseResult('decode-64-constrained-8', 'tok/s', median(rates.constrained), { free: median(rates.free) }),
    caseResult('the-56-others', 'tok/s', median(others.constrained), { free: median(others.free) }),
  ]);
  publish(result, args);
}

runBench(main);
