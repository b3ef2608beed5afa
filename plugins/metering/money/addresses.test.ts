import { expect, test } from 'vitest';
import { addressFault, checksummed } from './addresses.ts';
import { addresses, testBooks } from './testing/books.ts';

// Of EIP-55 itself.
const published = [
  '0x52908400098527886E0F7030069857D2E4169EE7',
  '0x8617E340B3D01FA5F11F306F4090FD50E238070D',
  '0xde709f2102306220921060314715629080e2fb77',
  '0x27b1fdb04752bbc536007a920d24acb045561c26',
  ...addresses,
];

test('the checksums that EIP-55 gives', () => {
  for (const address of published) {
    expect(checksummed(address.toLowerCase())).toBe(address);
    expect(addressFault(address)).toBeNull();
  }
});

test('a changed digit, or the case of one, is found', () => {
  const [address] = addresses as [string];
  expect(addressFault(address.replace('5a', '5A'))).toContain('The checksum (EIP-55) of');
  expect(addressFault(address.replace('6053', '6054'))).toContain('a digit of it may be');
});

test('what is no address says what to write', () => {
  const [address] = addresses as [string];
  expect(addressFault(address.toLowerCase())).toContain(
    `has no checksum. If each of its digits is right, write '${address}'.`,
  );
  expect(addressFault(`0x${address.slice(2).toUpperCase()}`)).toContain('has no checksum');
  for (const wrong of [
    '',
    '0x',
    address.slice(2),
    `${address}0`,
    ` ${address}`,
    `${address}\n`,
    'DE89370400440532013000',
  ])
    expect(addressFault(wrong)).toContain('is no EVM address. Write 0x and 40 digits of hex.');
  expect(addressFault(`0x${'0'.repeat(40)}`)).toContain("is nobody's");
});

test('an account is paid where the last setting says, and all settings are kept', () => {
  const { books } = testBooks();
  const set = (address: string | null, since: number) =>
    books.setAddress({ account: 'contributor:ada', address, since, by: 'operator' });
  set(addresses[0]!, 1);
  set(null, 2);
  set(addresses[1]!, 3);
  expect(books.account('contributor:ada').address).toBe(addresses[1]);
  expect(books.addresses('contributor:ada', 10)).toEqual(
    [addresses[1], null, addresses[0]].map((address, at) => ({
      account: 'contributor:ada',
      address,
      since: 3 - at,
      by: 'operator',
    })),
  );
  expect(() => set('0x1', 4)).toThrow("'0x1' is no EVM address.");
  for (const account of ['', 'ada', 'contributor:', 'pool:x', 'Platform', `owner:${'x'.repeat(1000)}`])
    expect(() => books.setAddress({ account, address: null, since: 1, by: 'x' })).toThrow('is no account');
  expect(() => books.account('contributor:bo')).toThrow(/names the account 'contributor:bo'/);
});
