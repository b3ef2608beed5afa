import { describe, expect, test } from 'vitest';
import { checkLicence, incompatibility, spdxId } from './licences.ts';

const policy = { allowed: [], denied: [], outbound: null };

test('SPDX ids are taken however they are written, and nothing else', () => {
  expect(spdxId(' cc-by-4.0')).toBe('CC-BY-4.0');
  expect(() => spdxId('free')).toThrow("'free' is no SPDX licence id.");
});

describe('what may be published under what', () => {
  test.each([
    ['CC0-1.0', 'CC-BY-NC-ND-4.0'],
    ['PDDL-1.0', 'ODbL-1.0'],
    ['CC-BY-4.0', 'CC-BY-SA-4.0'],
    ['CC-BY-SA-3.0', 'CC-BY-SA-4.0'],
    ['CC-BY-SA-4.0', 'GPL-3.0-only'],
    ['MIT', 'Apache-2.0'],
    ['MIT', 'CC-BY-4.0'],
    ['ODC-By-1.0', 'ODbL-1.0'],
    ['CC-BY-NC-4.0', 'CC-BY-NC-4.0'],
  ])('%s under %s', (licence, outbound) => {
    expect(incompatibility(licence, outbound)).toBeNull();
  });

  test.each([
    ['CC-BY-SA-4.0', 'CC-BY-4.0', 'not known'],
    ['CC-BY-4.0', 'CC-BY-3.0', 'not known'],
    ['CC-BY-NC-4.0', 'CC-BY-4.0', 'forbids commercial use'],
    ['CC-BY-ND-4.0', 'CC-BY-4.0', 'forbids changed works'],
    ['CC-BY-4.0', 'CC0-1.0', 'would drop'],
    ['Apache-2.0', 'MIT', 'not known'],
    ['ODbL-1.0', 'CC-BY-SA-4.0', 'not known'],
    ['GPL-3.0-only', 'CC-BY-SA-4.0', 'not known'],
  ])('not %s under %s', (licence, outbound, why) => {
    expect(incompatibility(licence, outbound)).toContain(why);
  });
});

describe('a policy', () => {
  test('that names nothing takes any known licence', () => {
    expect(checkLicence('mit', policy)).toBe('MIT');
    expect(() => checkLicence('mine', policy)).toThrow(expect.objectContaining({ code: 'unknown_licence' }));
  });

  test('takes what it allows, never what it denies, and nothing that its outbound licence cannot carry', () => {
    const strict = { allowed: ['CC0-1.0', 'MIT'], denied: ['MIT'], outbound: null };
    expect(checkLicence('CC0-1.0', strict)).toBe('CC0-1.0');
    for (const licence of ['MIT', 'ISC']) {
      expect(() => checkLicence(licence, strict)).toThrow(
        `takes nothing under ${licence}. It takes CC0-1.0.`,
      );
    }
    expect(() => checkLicence('CC-BY-SA-4.0', { ...policy, outbound: 'CC-BY-4.0' })).toThrow(
      expect.objectContaining({ code: 'licence_incompatible' }),
    );
  });
});
