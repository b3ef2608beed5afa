import type { Caller } from '../access/callers.ts';
import type { GenerationMeter } from '../observe/metrics.ts';
import { Cancelled, type ChoiceRequest, type ChoiceStep, type ChoiceUsage, runChoice } from './choice.ts';
import type { Services } from './services.ts';

/**
 * Runs a choice as runChoice does, within the tokens that its caller may have in a minute: a 429 where they are not there.
 * What fails before its first step costs nothing.
 */
export function runLimited(
  { limits }: Services,
  caller: Caller,
  choice: ChoiceRequest,
  signal: AbortSignal,
  meter: GenerationMeter,
  onStep: (step: ChoiceStep) => void,
): Promise<ChoiceUsage> {
  const { prompt, maxTokens } = choice.generate;
  const atMost = prompt.length + (choice.promptOnly ? 0 : maxTokens);
  return limits.spend(caller, atMost, async (used) => {
    let begun = false;
    used(prompt.length);
    try {
      return await runChoice(choice, signal, meter, (step) => {
        begun = true;
        used(prompt.length + step.usage.completionTokens);
        onStep(step);
      });
    } catch (error) {
      if (!begun && !(error instanceof Cancelled)) used(0);
      throw error;
    }
  });
}
