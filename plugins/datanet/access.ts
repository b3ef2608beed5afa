/** Who may do what in a Datanet: roles by tenant, each with those before it; the operator may do all. */
import { ColophonError } from '../../gateway/contract/index.ts';
import type { Contributor, Datanet, Role } from './model.ts';
import type { DatanetStore } from './store/datanet_store.ts';

export interface Caller {
  tenant: string;
  operator: boolean;
}

const ranks: readonly Role[] = ['contributor', 'curator', 'owner'];

/** The caller's role; undefined where it has none. In an open Datanet every tenant may contribute. */
export async function roleOf(
  store: DatanetStore,
  datanet: Datanet,
  { tenant, operator }: Caller,
): Promise<Role | undefined> {
  if (operator || datanet.owner === tenant) return 'owner';
  return (await store.role(datanet.id, tenant)) ?? (datanet.open ? 'contributor' : undefined);
}

/** The Datanet of a name; 404 where the caller may not see it, as where there is none, and 403 where its role is too low. */
export async function datanetFor(
  store: DatanetStore,
  name: string,
  caller: Caller,
  needed: Role,
): Promise<{ datanet: Datanet; role: Role }> {
  const datanet = await store.datanet(name);
  const role = datanet && (await roleOf(store, datanet, caller));
  if (!datanet || !role) throw notFound('Datanet', name);
  if (has(role, needed)) return { datanet, role };
  throw new ColophonError(
    `In Datanet '${name}' you are a ${role}; this needs a ${needed}. Ask the Datanet's owner for the role.`,
    { type: 'permission_error', code: 'role_required' },
  );
}

export function has(role: Role, needed: Role): boolean {
  return ranks.indexOf(role) >= ranks.indexOf(needed);
}

/** A contributor of the caller's own tenant, or any for the operator; 404 for all others. */
export async function contributorFor(store: DatanetStore, id: string, caller: Caller): Promise<Contributor> {
  const contributor = await store.contributor(id);
  if (contributor && (caller.operator || contributor.tenant === caller.tenant)) return contributor;
  throw notFound('contributor', id);
}

export function notFound(what: string, id: string): ColophonError {
  return new ColophonError(`There is no ${what} '${id.slice(0, 100)}'.`, {
    type: 'not_found_error',
    code: 'datanet_object_not_found',
  });
}
