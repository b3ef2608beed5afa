/** Receipts as a client fetches them from a server in a process of its own. */
import { expect } from 'vitest';
import type { Receipt } from '../../plugins/metering/receipts/receipt.ts';
import type { ServerProcess } from './server_process.ts';

/** The file of a response's receipt, once it is signed, and what it says. */
export async function signedReceipt(server: ServerProcess, response: string) {
  for (;;) {
    const { status, body: file } = await server.ask('GET', `/v1/receipts/${response}`);
    if (file.error?.code === 'receipt_not_ready') continue;
    expect(status, JSON.stringify(file)).toBe(200);
    const statement = JSON.parse(Buffer.from(file.envelope.payload, 'base64').toString());
    return { file, receipt: statement.predicate as Receipt };
  }
}
