/** Datanets, who may do what in them, and the contributors. */
import { sql } from 'kysely';
import { ColophonError } from '../../../../gateway/contract/index.ts';
import type { Contributor, Datanet } from '../../model.ts';
import { codec } from '../codec.ts';
import type { DatanetStore } from '../datanet_store.ts';
import { cut, ordOf, pageOf, type Sql } from './common.ts';
import { forgetDatanet } from './erasure.ts';

const datanets = codec<Datanet>({
  id: 'plain',
  name: 'plain',
  domain: 'text',
  description: 'text',
  kinds: 'json',
  schema: 'json',
  licencePolicy: 'json',
  curation: 'json',
  owner: 'plain',
  open: 'flag',
  contributorBytes: 'plain',
  createdAt: 'plain',
});

const contributors = codec<Contributor>({
  id: 'plain',
  tenant: 'plain',
  name: 'text',
  payoutAddress: 'text',
  publicKey: 'plain',
  createdAt: 'plain',
});

type DatanetQueries = Pick<
  DatanetStore,
  | 'createDatanet'
  | 'updateDatanet'
  | 'deleteDatanet'
  | 'datanet'
  | 'datanets'
  | 'setRole'
  | 'role'
  | 'roles'
  | 'createContributor'
  | 'updateContributor'
  | 'contributor'
  | 'contributors'
>;

export function datanetQueries(store: Sql): DatanetQueries {
  const { db } = store;
  return {
    async createDatanet(datanet) {
      const inserted = await db
        .insertInto('datanets')
        .values(datanets.encode(datanet) as never)
        .onConflict((conflict) => conflict.column('name').doNothing())
        .returning('ord')
        .executeTakeFirst();
      if (!inserted) throw datanetExists(datanet.name);
    },

    async updateDatanet(id, change) {
      const fields = datanets.encode(change);
      if (Object.keys(fields).length === 0) return;
      const taken = change.name === undefined ? undefined : await this.datanet(change.name);
      if (taken && taken.id !== id) throw datanetExists(taken.name);
      await db
        .updateTable('datanets')
        .set(fields as never)
        .where('id', '=', id)
        .execute();
    },

    async deleteDatanet(id) {
      // Out of sight at once, and its name free; its rows go in small batches, and a start goes on with them (open_store.ts).
      const gone = await db
        .updateTable('datanets')
        .set({ gone: 1, name: sql`id` })
        .where('id', '=', id)
        .returning('ord')
        .executeTakeFirst();
      if (gone) await forgetDatanet(store, id);
    },

    async datanet(name) {
      const row = await db
        .selectFrom('datanets')
        .selectAll()
        .where('name', '=', name)
        .where('gone', '=', 0)
        .executeTakeFirst();
      return row && datanets.decode(row);
    },

    datanets: (page) => pageOf(db, 'datanets', { gone: 0 }, page, datanets.decode),

    async setRole(datanet, tenant, role) {
      if (role === null) {
        await db.deleteFrom('roles').where('datanet', '=', datanet).where('tenant', '=', tenant).execute();
        return;
      }
      await ordOf(db, 'datanets', datanet);
      await db
        .insertInto('roles')
        .values({ datanet, tenant, role })
        .onConflict((conflict) => conflict.columns(['datanet', 'tenant']).doUpdateSet({ role }))
        .execute();
    },

    async role(datanet, tenant) {
      const row = await db
        .selectFrom('roles')
        .select('role')
        .where('datanet', '=', datanet)
        .where('tenant', '=', tenant)
        .executeTakeFirst();
      return row?.role;
    },

    roles: (datanet) =>
      db
        .selectFrom('roles')
        .select(['tenant', 'role'])
        .where('datanet', '=', datanet)
        .orderBy('tenant')
        .execute(),

    async createContributor(contributor) {
      await db
        .insertInto('contributors')
        .values(contributors.encode(contributor) as never)
        .execute();
    },

    async updateContributor(id, { name, payoutAddress, publicKey }) {
      const fields = contributors.encode({ name, payoutAddress, publicKey });
      if (Object.keys(fields).length === 0) return;
      await db
        .updateTable('contributors')
        .set(fields as never)
        .where('id', '=', id)
        .execute();
    },

    async contributor(id) {
      const row = await db.selectFrom('contributors').selectAll().where('id', '=', id).executeTakeFirst();
      return row && contributors.decode(row);
    },

    async contributors({ tenant, datanet }, page) {
      if (datanet === undefined) return pageOf(db, 'contributors', { tenant }, page, contributors.decode);
      let query = db
        .selectFrom('contributors')
        .selectAll()
        .where(
          'id',
          'in',
          db.selectFrom('contributions').select('contributor').where('datanet', '=', datanet),
        )
        .orderBy('ord')
        .limit(page.limit + 1);
      if (tenant !== undefined) query = query.where('tenant', '=', tenant);
      if (page.after !== undefined) {
        query = query.where('ord', '>', await ordOf(db, 'contributors', String(page.after), 'after'));
      }
      return cut((await query.execute()).map(contributors.decode), page.limit);
    },
  };
}

function datanetExists(name: string): ColophonError {
  return new ColophonError(`There is a Datanet '${name}' already. Choose another name.`, {
    type: 'conflict_error',
    param: 'name',
    code: 'datanet_exists',
  });
}
