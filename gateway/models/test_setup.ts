/**
 * Before any test: the default model, from this user's cache or downloaded once. Tests find its path in
 * COLOPHON_TEST_MODEL; where it could not be had, those that need it fail with the sentence in COLOPHON_TEST_MODEL_FAULT.
 */
import { defaultSource, ModelError, resolveModel } from './index.ts';

export default async function setup(): Promise<void> {
  if (process.env.COLOPHON_TEST_MODEL) return;
  const say = (sentence: string) => process.stderr.write(`${sentence}\n`);
  try {
    const model = await resolveModel(defaultSource, {
      progress: {
        begin: (label) => {
          say(`Downloading ${label} for the tests.`);
          return { advance() {}, end() {} };
        },
        note: say,
      },
    });
    process.env.COLOPHON_TEST_MODEL = model.path;
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    say(`Tests with the default model will fail: ${error.message}`);
    process.env.COLOPHON_TEST_MODEL_FAULT = error.message;
  }
}
