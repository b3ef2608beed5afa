/** `colophon payouts …` against a server, and offline. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { colophon } from '../../../../gateway/cli/testing.ts';
import { KeyFolder } from '../../keys/key_folder.ts';
import { addresses, testKeys } from '../testing/books.ts';
import { startPayoutServer } from '../testing/payout_server.ts';

let started: Awaited<ReturnType<typeof startPayoutServer>>;
let home: string;
const file = (name: string) => join(home, name);

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'colophon-payouts-cli-'));
  started = await startPayoutServer(10);
  await writeFile(file('colophon.yaml'), 'server:\n  port: 1\n'); // Nobody listens there.
});
afterAll(async () => {
  await started.server.close();
  await rm(home, { recursive: true });
});

const run = (args: string[]) =>
  colophon(['payouts', ...args], {
    COLOPHON_HOME: home,
    COLOPHON_CONFIG: file('colophon.yaml'),
    COLOPHON_API_KEY: 'secret',
  });
/** On the server; what it printed. */
async function said(args: string[]): Promise<string> {
  const printed = await run([...args, '--url', started.server.url, '-q']);
  expect(printed, args.join(' ')).toMatchObject({ exitCode: 0, stderr: '' });
  return printed.stdout;
}
const json = async (args: string[]) => JSON.parse(await said([...args, '--json']));
async function refused(args: string[], sentence: string, exitCode = 1) {
  const printed = await run(args);
  expect(printed.stderr).toContain(sentence);
  expect(printed).toMatchObject({ exitCode, stdout: '' });
}

test('an account has an address, an epoch is closed and shown, and a payment proved without a server', async () => {
  const [first, second] = addresses as [string, string];
  expect(await said(['address', 'contributor:ada', first])).toBe(
    `contributor:ada  ${first}, from the next close on\n`,
  );
  await json(['address', 'pool', second]);
  await json(['address', 'pool', '--remove']);
  expect(await json(['address', 'pool'])).toMatchObject([{ address: null }, { address: second }]);
  expect(await said(['address', 'pool'])).toMatch(/^ADDRESS +SINCE +SET BY\nnone +\d{4}-/);
  started.receipt({ 'contributor:ada': 90, pool: 4, platform: 6 });
  const closed = await said(['close']);
  expect(closed).toMatch(
    /^epoch {5}1, of 1 receipts\npaid {6}90 microUSD to 1 addresses\ncarried {3}10, in dispute 0\nroot {6}0x[0-9a-f]{64}\n$/,
  );
  const { root } = (await json(['ls']))[0].distribution;
  expect(await said(['list', '--limit', '1'])).toMatch(
    new RegExp(`^EPOCH .*ROOT\n1 +[-0-9: ]{19} +1 +100 +90 +10 +microUSD +${root}\n$`),
  );
  expect(await said(['show', '1'])).toMatch(/\ncontributor:ada +1 +0 +90 +0 +0 +90 +0 +0x5aAeb6053/);
  expect(await said(['show', '1', '--csv'])).toContain(
    `1,contributor:ada,microUSD,1,0,90,0,0,0,90,0,${first}`,
  );
  expect(await said(['show', 'contributor:ada'])).toContain(`address   ${first}\ncarried   0 microUSD\n`);
  expect(await json(['show', 'pool'])).toMatchObject({ balance: '4', statements: [{ epoch: 1, paid: '0' }] });

  const proof = file('proof.json');
  await json(['proof', '1', 'contributor:ada', '--output', proof]);
  expect(JSON.parse(await readFile(proof, 'utf8'))).toEqual(await json(['proof', '1', 'contributor:ada']));
  const epoch = file('epoch.json');
  await writeFile(epoch, await said(['show', '1', '--json']));
  const keys = file('keys.txt');
  await writeFile(keys, testKeys.known.toVkeys());
  const proven = await run(['verify', proof, '--root', root, '--json']);
  expect(JSON.parse(proven.stdout)).toEqual({ ok: true, address: first, amount: '90', root });
  const held = await run(['verify', epoch, '--root', root, '--keys', keys]);
  expect(held).toMatchObject({ exitCode: 0, stderr: '' });
  expect(held.stdout).toMatch(
    /^ok {3}signature: .*\nok {3}numbers: .*\nok {3}root: .*\nok {3}inclusion: It is entry 1 of the 2 .*\nThe epoch holds\.\n$/,
  );
  const other = `0x${'1'.repeat(64)}`;
  await refused(['verify', proof, '--root', other], `Its root is ${root}, and not ${other}.`);
  const fails = async (args: string[], sentence: string) => {
    const printed = await run(args);
    expect(printed.stdout).toContain(sentence);
    expect(printed.stdout).toContain('The epoch does not hold.');
    expect(printed.exitCode).toBe(1);
  };
  await fails(['verify', epoch, '--keys', keys, '--root', other], `FAIL root: Its root is ${root}, and not`);
  const strangers = file('strangers.txt');
  await writeFile(strangers, new KeyFolder(file('strangers'), testKeys.known.name).known.toVkeys());
  await fails(['verify', epoch, '--keys', strangers], 'FAIL signature: The envelope is signed by');
  // This installation has signed nothing yet, and does not begin to by checking.
  expect(await run(['verify', epoch])).toMatchObject({
    exitCode: 3,
    stderr: expect.stringContaining('There are no keys in'),
  });
  const changed = async (from: string, change: [string, string]) => {
    const text = await readFile(from, 'utf8');
    expect(text).toContain(change[0]);
    await writeFile(file('changed.json'), text.replace(...change));
    return ['verify', file('changed.json'), '--keys', keys];
  };
  await refused(await changed(proof, ['"amount": "90"', '"amount": "91"']), 'is not paid 91 under the root');
  await fails(
    await changed(epoch, ['"earned": "90"', '"earned": "91"']),
    'FAIL numbers: What is signed says something else.',
  );
  await refused(await changed(epoch, ['"payout.epoch"', '"x"']), 'is neither a proof');
  await refused(['verify', file('none')], 'cannot be read', 2);
  await refused(['verify', file('colophon.yaml')], 'is no JSON.');
});

test('a receipt is disputed, and that resolved', async () => {
  const receipt = started.receipt({ pool: 7 });
  expect(await said(['dispute', 'open', receipt, '--reason', 'A copy.', '--by', 'bo'])).toBe(
    `dispute 1  open  ${receipt}\n`,
  );
  expect(await said(['dispute', 'ls', '--state', 'open'])).toMatch(
    new RegExp(`^ID .*WHY\n1 +open +${receipt} +[-0-9: ]{19} +bo +A copy\\.\n$`),
  );
  expect(await said(['dispute', 'uphold', '1', '--reason', 'It is.'])).toBe(
    `dispute 1  upheld  ${receipt}\n`,
  );
  await json(['dispute', 'open', receipt, '--reason', 'It is none.']);
  expect(await json(['dispute', 'reject', '2', '--reason', 'Right.'])).toMatchObject({ state: 'rejected' });
  expect(await json(['dispute', 'list'])).toMatchObject([{ id: 2, resolution: 'Right.' }, { id: 1 }]);
  await json(['close']);
  expect(await said(['show', '2'])).toContain('\nDISPUTE  RECEIPT');
});

test('what is wrong is a sentence', async () => {
  const url = ['--url', started.server.url];
  await refused(['show', '77', ...url], 'There is no closed epoch 77.');
  await refused(['address', 'pool', addresses[0]!.toLowerCase(), ...url], 'has no checksum');
  await refused(
    ['address', 'pool', addresses[0]!, '--remove', ...url],
    'Say either an address or --remove.',
    2,
  );
  await refused(['dispute', 'reject', '1', '--reason', 'x', ...url], 'Dispute 1 is upheld already.');
  await refused(['close'], 'No server answers at http://127.0.0.1:1.', 5);
});
