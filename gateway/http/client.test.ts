import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { clientOf } from './client.ts';

const answers = new Set<AbortController>();
const server = createServer();
let socket: Socket;
beforeEach(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
});
afterEach(async () => {
  socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

function request(): Promise<ServerResponse> {
  socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  return new Promise((resolve) => server.once('request', (_request, response) => resolve(response)));
}

/** Until the server has forgotten the request. */
const ended = (response: ServerResponse) =>
  new Promise((resolve) => response.end('x').once('close', resolve));
const closed = (response: ServerResponse) => new Promise((resolve) => response.once('close', resolve));

test('a client that leaves aborts the signal of its answer', async () => {
  const response = await request();
  const { control } = clientOf({ answers }, response);
  expect(answers).toContain(control);
  expect(control.signal.aborted).toBe(false);
  socket.destroy();
  await closed(response);
  expect(control.signal.aborted).toBe(true);
});

test('answers of one connection share a signal in turn, and only its last hears of the leaving', async () => {
  const first = await request();
  const one = clientOf({ answers }, first);
  one.release();
  expect(answers).not.toContain(one.control);
  await ended(first);
  const second = await request();
  const two = clientOf({ answers }, second);
  expect(two.control).toBe(one.control);
  socket.destroy();
  await closed(second);
  expect(two.control.signal.aborted).toBe(true);
});

test('a signal that was aborted, or that somebody still listens to, is of no other answer', async () => {
  const first = await request();
  const one = clientOf({ answers }, first);
  let heard = 0;
  one.control.signal.addEventListener('abort', () => heard++);
  one.release();
  await ended(first);
  const second = await request();
  const two = clientOf({ answers }, second);
  expect(two.control).not.toBe(one.control);
  two.control.abort();
  two.release();
  await ended(second);
  const third = await request();
  const three = clientOf({ answers }, third);
  expect(three.control.signal.aborted).toBe(false);
  socket.destroy();
  await closed(third);
  expect(three.control.signal.aborted).toBe(true);
  expect(heard).toBe(0);
});

test('two answers of one connection at a time have two signals', async () => {
  const first = await request();
  const second = await request();
  expect(clientOf({ answers }, first).control).not.toBe(clientOf({ answers }, second).control);
});
