/** A job that is asked for: checked as far as can be without reading its files. */
import { ColophonError, type Host, type RequestCaller } from '../../gateway/contract/index.ts';
import { trainableBase } from './bases.ts';
import { type JobObject, type JobRecord, newJobId, now } from './job.ts';
import { askedFor, type CreateBody, recipeOf } from './settings.ts';

/** Throws ColophonError where it cannot be. */
export async function newJob(
  host: Host,
  caller: RequestCaller,
  body: CreateBody,
): Promise<Omit<JobRecord, 'number'>> {
  const { tenant, operator, minPriority } = caller;
  if (body.integrations && body.integrations.length > 0)
    throw new ColophonError('Integrations are not offered; leave them out.', {
      param: 'integrations',
      code: 'unsupported_parameter',
    });
  const priority = body.priority ?? 0;
  if (minPriority !== undefined && priority < minPriority)
    throw new ColophonError(
      `'priority' is ${priority}, but your key allows ${minPriority} or more; lower values go first.`,
      { type: 'permission_error', param: 'priority', code: 'priority_not_allowed' },
    );
  const file = async (param: 'training_file' | 'validation_file', id: string) => {
    const found = await host.files.find(caller, id);
    if (found) return found.id;
    throw new ColophonError(
      `There is no file '${id}'; upload it to /v1/files with the purpose "fine-tune".`,
      { type: 'not_found_error', param, code: 'file_not_found' },
    );
  };
  const trainingFile = await file('training_file', body.training_file);
  const validationFile = body.validation_file ? await file('validation_file', body.validation_file) : null;
  const { longest } = await trainableBase(host, body.model);
  // Checked at once, with a number of examples that does not matter for whether it is possible.
  const recipe = recipeOf(body, 100, longest);
  const { type, hyperparameters } = askedFor(body);
  const job: JobObject = {
    object: 'fine_tuning.job',
    id: newJobId(),
    model: body.model,
    created_at: now(),
    finished_at: null,
    fine_tuned_model: null,
    organization_id: tenant,
    status: 'validating_files',
    hyperparameters,
    method: { type, [type]: { hyperparameters } },
    training_file: trainingFile,
    validation_file: validationFile,
    result_files: [],
    trained_tokens: null,
    estimated_finish: null,
    seed: recipe.seed,
    error: null,
    integrations: [],
    metadata: body.metadata ?? null,
    priority,
    tokens_per_second: null,
    recipe,
  };
  return { job, tenant, operator, body, checkpoints: [] };
}
