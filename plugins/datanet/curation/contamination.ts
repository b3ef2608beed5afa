/** Rows that give away what held-out sets ask for: in the same words, or by the same meaning. */
import type { Content } from '../model.ts';
import { firstHeldOut } from './heldout_grams.ts';
import type { Finding, Stage } from './stage.ts';
import { ownText, textsOf } from './texts.ts';
import { wordsOf } from './words.ts';

export const contamination: Stage = {
  name: 'contamination',
  each(items, { heldOut }) {
    if (heldOut === null) return { findings: [] };
    const findings: Finding[] = [];
    for (const { seq, content } of items) {
      for (const { path, text } of textsOf(content)) {
        const found = firstHeldOut(wordsOf(text), heldOut);
        if (!found) continue;
        findings.push({
          seq,
          action: 'quarantine',
          reason: `${path} shares ${found.length} words in a row, from its word ${found.at + 1} on, with a held-out text.`,
        });
        break;
      }
    }
    return { findings };
  },
};

/** Embeddings of texts, in their order; of any length (not 0), not normalised. */
export type Embed = (texts: string[]) => Promise<Float32Array[]>;

/** Held-out texts that tell how near to each other different texts of the kind are. */
const calibratedBy = 20;

/**
 * Rows whose embedding is nearer to a held-out text's than `settings.contamination.cosine`. Mean states of language models all point much
 * the same way, so the held-out texts' mean is taken away before; and held-out texts are different from each other, so the
 * threshold is never below the 99th percentile of the cosines to their nearest neighbours.
 */
export function paraphrase(texts: string[], embed: Embed): Stage {
  let held: Promise<HeldOutEmbeddings> | undefined;
  return {
    name: 'paraphrase',
    async each(items, { settings: { contamination: settings } }) {
      if (texts.length === 0) return { findings: [] };
      held ??= embedHeldOut(texts, embed);
      const { vectors, mean, nearest } = await held;
      const threshold = Math.max(settings.cosine, nearest);
      const rows = await embed(items.map(({ content }) => textToEmbed(content)));
      const cosines = rows.map((row) => nearestCosine(centred(row, mean), vectors));
      const findings = items.flatMap(({ seq }, i): Finding[] =>
        cosines[i]! < threshold
          ? []
          : [
              {
                seq,
                action: 'quarantine',
                reason: `The row means nearly the same as a held-out text: the cosine of their embeddings is ${cosines[i]!.toFixed(3)}, the most that is allowed is below ${threshold.toFixed(3)}.`,
              },
            ],
      );
      return { findings, measures: { cosine: cosines } };
    },
  };
}

interface HeldOutEmbeddings {
  vectors: Float32Array[];
  mean: Float32Array;
  nearest: number;
}

const textToEmbed = (content: Content) => ownText(content) || ' ';

async function embedHeldOut(texts: string[], embed: Embed): Promise<HeldOutEmbeddings> {
  const raw = await embed(texts);
  const mean = new Float32Array(raw[0]!.length);
  // The mean of few is near to each of them: to take it away would leave noise.
  if (raw.length >= calibratedBy) {
    for (const vector of raw) for (let i = 0; i < mean.length; i++) mean[i]! += vector[i]! / raw.length;
  }
  const vectors = raw.map((vector) => centred(vector, mean));
  if (vectors.length < calibratedBy) return { vectors, mean, nearest: -1 };
  const nearest = vectors
    .map((vector) =>
      nearestCosine(
        vector,
        vectors.filter((other) => other !== vector),
      ),
    )
    .sort((a, b) => a - b);
  return { vectors, mean, nearest: nearest[Math.floor(nearest.length * 0.99)]! };
}

function centred(vector: Float32Array, mean: Float32Array): Float32Array {
  const away = vector.map((value, i) => value - mean[i]!);
  const length = Math.hypot(...away) || 1;
  return away.map((value) => value / length);
}

function nearestCosine(vector: Float32Array, others: Float32Array[]): number {
  let most = -1;
  for (const other of others) {
    let cosine = 0;
    for (let i = 0; i < vector.length; i++) cosine += vector[i]! * other[i]!;
    most = Math.max(most, cosine);
  }
  return most;
}
