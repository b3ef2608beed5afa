/** Fields that schemas leave open and a route still needs. */
import { ColophonError } from '../contract/index.ts';

/** Whether a client gave a value: null is as none. */
export function given<Value>(value: Value): value is NonNullable<Value> {
  return value !== undefined && value !== null;
}

/** The error of a field that must be there, in OpenAI's words. */
export function missing(param: string): ColophonError {
  return new ColophonError(`Missing required parameter: '${param}'.`, {
    param,
    code: 'missing_required_parameter',
  });
}
