/** A witness as c2sp.org/tlog-witness describes it, in memory. */
import { generateKeyPairSync } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { verifyConsistency } from '../../../datanet/snapshots/merkle.ts';
import { rawPublicKey, signBytes } from '../../keys/ed25519.ts';
import type { PublicKeys } from '../../keys/public_keys.ts';
import { noteType, verifierKey } from '../../keys/vkey.ts';
import { openCheckpoint, type TreeHead } from '../checkpoint.ts';
import { cosignedMessage, writeNote } from '../note.ts';
import { parseConsistency } from '../proof_text.ts';
import type { Witness } from '../witness.ts';

export class TestWitness {
  readonly #pair = generateKeyPairSync('ed25519');
  readonly #log: PublicKeys;
  readonly #server: Server;
  readonly key;
  seen: TreeHead = { size: 0, root: Buffer.alloc(0) };
  /** Statuses of what it answered. */
  readonly answered: number[] = [];
  /** Instead of an answer of its own. */
  instead: ((body: string) => { status: number; text: string } | 'silence') | undefined;

  constructor(name: string, log: PublicKeys) {
    this.key = verifierKey(name, rawPublicKey(this.#pair.publicKey), noteType.cosignature);
    this.#log = log;
    this.#server = createServer(async (request, response) => {
      let body = '';
      for await (const part of request.setEncoding('utf8')) body += part;
      const answer =
        request.method === 'POST' && request.url === '/add-checkpoint'
          ? (this.instead?.(body) ?? this.answer(body))
          : { status: 404, text: '' };
      if (answer === 'silence') return;
      this.answered.push(answer.status);
      response.writeHead(answer.status, { 'content-type': 'text/plain' }).end(answer.text);
    });
  }

  async listen(): Promise<Witness> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return { url: `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`, key: this.key };
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  /** By the rules of add-checkpoint. */
  answer(body: string): { status: number; text: string } {
    const { old, path, checkpoint: text } = parseConsistency(body);
    let checkpoint: ReturnType<typeof openCheckpoint>;
    try {
      checkpoint = openCheckpoint(text, this.#log);
    } catch {
      return { status: 403, text: '' };
    }
    const { size, root, note } = checkpoint;
    if (old > size) return { status: 400, text: '' };
    if (old !== this.seen.size) return { status: 409, text: `${this.seen.size}\n` };
    if (old === 0 ? path.length > 0 : !verifyConsistency(old, this.seen.root, size, root, path))
      return { status: 422, text: '' };
    this.seen = { size, root };
    const now = BigInt(Math.floor(Date.now() / 1000));
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(now);
    const signature = Buffer.concat([
      time,
      signBytes(cosignedMessage(note.text, now), this.#pair.privateKey),
    ]);
    const { name, id } = this.key;
    return { status: 200, text: writeNote({ text: '', signatures: [{ name, id, signature }] }).slice(1) };
  }
}
