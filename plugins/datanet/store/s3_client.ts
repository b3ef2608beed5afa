/**
 * The requests of Amazon's S3 REST API that blobs need, in path style, signed with Signature Version 4 over their bytes too, so
 * that a server refuses what was damaged on its way. They are tried again where the server or the network fails.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AwsV4Signer } from 'aws4fetch';
import { Agent, type Dispatcher, request } from 'undici';
import { ColophonError } from '../../../gateway/contract/index.ts';
import { storeError } from './store_error.ts';

export interface S3Config {
  /** "https://s3.eu-central-1.amazonaws.com", "http://127.0.0.1:9000". */
  endpoint: string;
  bucket: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
}

interface Call {
  key?: string;
  query?: Record<string, string>;
  body?: Uint8Array;
  headers?: Record<string, string>;
}

type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';

const tries = 5;
/** Of silence on a connection, ms: a stalled server is as good as none. */
const silence = 30_000;

export class S3Client {
  readonly #config: S3Config;
  readonly #agent = new Agent({
    headersTimeout: silence,
    bodyTimeout: silence,
    connect: { timeout: 10_000 },
  });

  constructor(config: S3Config) {
    this.#config = config;
  }

  async put(key: string, body: Uint8Array): Promise<void> {
    await this.#text('PUT', { key, body });
  }

  /** Bytes of the object; undefined where there is none. */
  async size(key: string): Promise<number | undefined> {
    const { statusCode, headers, body } = await this.#send('HEAD', { key });
    await body.dump();
    return statusCode === 404 ? undefined : Number(headers['content-length']);
  }

  /** The object's bytes from `from` to `to`, both inclusive, as far as the connection lasts; undefined where there is none. */
  async get(key: string, from: number, to: number): Promise<AsyncIterable<Uint8Array> | undefined> {
    const { statusCode, body } = await this.#send('GET', { key, headers: { range: `bytes=${from}-${to}` } });
    if (statusCode !== 404) return body;
    await body.dump();
    return undefined;
  }

  async delete(key: string): Promise<void> {
    await this.#text('DELETE', { key });
  }

  /** Keys that begin with `prefix`. */
  async *list(prefix: string): AsyncGenerator<string> {
    for (let token: string | undefined; ; ) {
      const query = { 'list-type': '2', prefix, ...(token && { 'continuation-token': token }) };
      const xml = await this.#text('GET', { query });
      yield* valuesOf(xml, 'Key');
      token = valuesOf(xml, 'NextContinuationToken')[0];
      if (!token) return;
    }
  }

  /** Tells the upload's id. */
  async beginUpload(key: string): Promise<string> {
    return valuesOf(await this.#text('POST', { key, query: { uploads: '' } }), 'UploadId')[0]!;
  }

  /** Tells the part's ETag. */
  async uploadPart(key: string, uploadId: string, partNumber: number, body: Uint8Array): Promise<string> {
    const query = { partNumber: String(partNumber), uploadId };
    const answer = await this.#send('PUT', { key, query, body });
    await answer.body.dump();
    return String(answer.headers.etag);
  }

  async completeUpload(key: string, uploadId: string, etags: string[]): Promise<void> {
    const parts = etags.map(
      (etag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag></Part>`,
    );
    const body = Buffer.from(`<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`);
    const xml = await this.#text('POST', { key, query: { uploadId }, body });
    // Amazon may answer 200 before it knows.
    if (/<Error>/.test(xml)) throw refused(200, xml);
  }

  async abortUpload(key: string, uploadId: string): Promise<void> {
    await this.#text('DELETE', { key, query: { uploadId } });
  }

  /** Uploads that were begun and neither completed nor aborted. */
  async uploads(prefix: string): Promise<Array<{ key: string; uploadId: string }>> {
    const xml = await this.#text('GET', { query: { uploads: '', prefix } });
    return [...xml.matchAll(/<Upload>.*?<\/Upload>/gs)].map(([upload]) => ({
      key: valuesOf(upload, 'Key')[0]!,
      uploadId: valuesOf(upload, 'UploadId')[0]!,
    }));
  }

  async close(): Promise<void> {
    await this.#agent.close();
  }

  async #text(method: Method, call: Call): Promise<string> {
    const { body } = await this.#send(method, call);
    return body.text();
  }

  /** An answer that is good, or 404. */
  async #send(method: Method, call: Call): Promise<Dispatcher.ResponseData> {
    for (let tried = 1; ; tried++) {
      try {
        const answer = await this.#sendOnce(method, call);
        if (answer.statusCode < 300 || answer.statusCode === 404) return answer;
        throw refused(answer.statusCode, await answer.body.text());
      } catch (error) {
        const told = storeError(error);
        if (tried === tries || !(told instanceof ColophonError) || told.status !== 503) throw told;
        await sleep(50 * 2 ** tried);
      }
    }
  }

  async #sendOnce(
    method: Method,
    { key = '', query = {}, body, headers }: Call,
  ): Promise<Dispatcher.ResponseData> {
    const { endpoint, bucket, region, accessKeyId, secretAccessKey } = this.#config;
    const url = new URL(`${endpoint.replace(/\/+$/, '')}/${bucket}/${key}`);
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const hash = createHash('sha256')
      .update(body ?? '')
      .digest('hex');
    const signer = new AwsV4Signer({
      method,
      url: url.href,
      headers: { ...headers, 'x-amz-content-sha256': hash },
      accessKeyId,
      secretAccessKey,
      region,
      service: 's3',
    });
    const signed = await signer.sign();
    return request(signed.url, {
      method,
      headers: Object.fromEntries(signed.headers),
      body: body ?? null,
      dispatcher: this.#agent,
    });
  }
}

/** Contents of all elements of a name. What S3 says of our keys needs no more of XML than this. */
function valuesOf(xml: string, element: string): string[] {
  return [...xml.matchAll(new RegExp(`<${element}>([^<]*)</${element}>`, 'g'))].map(([, value]) =>
    value!.replaceAll('&quot;', '"').replaceAll('&amp;', '&'),
  );
}

function refused(status: number, xml: string): ColophonError {
  const what = [valuesOf(xml, 'Code')[0], valuesOf(xml, 'Message')[0]].filter(Boolean).join(': ');
  const again = status >= 500 || status === 429 || status === 200;
  return again
    ? new ColophonError(`The S3 server of the Datanet store answered ${status} (${what}). Try again.`, {
        type: 'service_unavailable_error',
        code: 'store_unavailable',
      })
    : new ColophonError(
        `The S3 server of the Datanet store refused with ${status} (${what}). Check the bucket, the region and the keys in the config.`,
        { type: 'server_error', code: 'internal_error' },
      );
}
