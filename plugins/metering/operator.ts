import { ColophonError } from '../../gateway/contract/index.ts';

/** Throws ColophonError where the caller is not the operator; `what`: what it asked for, after "Your key may not". */
export function operatorOnly(operator: boolean, what: string): void {
  if (operator) return;
  throw new ColophonError(`Your key may not ${what}: that takes the server's own key.`, {
    type: 'permission_error',
    code: 'operator_required',
  });
}
