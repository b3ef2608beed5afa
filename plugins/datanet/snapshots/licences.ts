/** Licences by their SPDX ids: which there are, which a Datanet takes, and what may be published under what. */
import { createRequire } from 'node:module';
import { ColophonError } from '../../../gateway/contract/index.ts';
import type { LicencePolicy } from '../model.ts';

const require = createRequire(import.meta.url);
const known = new Map<string, string>(
  [
    ...(require('spdx-license-ids') as string[]),
    ...(require('spdx-license-ids/deprecated.json') as string[]),
  ].map((id) => [id.toLowerCase(), id]),
);

/** The id as SPDX spells it. Throws `unknown_licence`. */
export function spdxId(licence: string): string {
  const id = known.get(licence.trim().toLowerCase());
  if (id !== undefined) return id;
  throw new ColophonError(
    `'${licence}' is no SPDX licence id. Give one of https://spdx.org/licenses, such as CC-BY-4.0.`,
    { code: 'unknown_licence', param: 'licence' },
  );
}

/** Public domain, or as near to it as the law lets: may go into anything. */
const free = /^(CC0-1\.0|PDDL-1\.0|Unlicense|0BSD|MIT-0|CC-PDDC|CC-PDM-1\.0|NIST-PD|NIST-PD-fallback)$/;
/** Ask for notices to be kept, and nothing of what is made with them. */
const permissive =
  /^(MIT|BSD-2-Clause|BSD-3-Clause|ISC|Apache-2\.0|ODC-By-1\.0|CDLA-Permissive-[12]\.0|OGL-UK-3\.0)$/;
const attribution = /^CC-BY-(2\.0|2\.5|3\.0|4\.0)$/;
const shareAlike = /^CC-BY-SA-(2\.0|2\.5|3\.0|4\.0)$/;

/** What may come in, by what goes out (besides the licence itself): pairs on which their stewards and the FSF agree. */
const inbound: Array<{ outbound: RegExp; takes: (id: string, outbound: string) => boolean }> = [
  { outbound: permissive, takes: (id, outbound) => permissive.test(id) && !needsPatentTerms(id, outbound) },
  {
    outbound: attribution,
    takes: (id, outbound) =>
      (attribution.test(id) && versionOf(id) <= versionOf(outbound)) ||
      (permissive.test(id) && !needsPatentTerms(id, outbound)),
  },
  {
    outbound: shareAlike,
    takes: (id, outbound) =>
      ((attribution.test(id) || shareAlike.test(id)) && versionOf(id) <= versionOf(outbound)) ||
      (permissive.test(id) && !needsPatentTerms(id, outbound)),
  },
  // Creative Commons, 2015: BY-SA 4.0 may go into GPL 3, and not back.
  {
    outbound: /^GPL-3\.0-(only|or-later)$/,
    takes: (id) => permissive.test(id) || id === 'CC-BY-4.0' || id === 'CC-BY-SA-4.0',
  },
  { outbound: /^ODbL-1\.0$/, takes: (id) => id === 'ODC-By-1.0' },
];

/** Apache's terms on patents and notices cannot be dropped: it goes into nothing that lacks them. */
const needsPatentTerms = (id: string, outbound: string) => id === 'Apache-2.0' && outbound !== 'Apache-2.0';

const versionOf = (id: string) => Number(/(\d+\.\d+)$/.exec(id)?.[1]);

/** Null: what is under `licence` may be published under `outbound`. Else a sentence that says why not. Both are SPDX ids. */
export function incompatibility(licence: string, outbound: string): string | null {
  if (licence === outbound || free.test(licence)) return null;
  if (/-NC\b/.test(licence))
    return `${licence} forbids commercial use, which ${outbound} would have to allow or word alike.`;
  if (/-ND\b/.test(licence))
    return `${licence} forbids changed works, and a snapshot under ${outbound} is one.`;
  if (inbound.some((rule) => rule.outbound.test(outbound) && rule.takes(licence, outbound))) return null;
  if (free.test(outbound)) return `${licence} has conditions, which ${outbound} would drop.`;
  return `It is not known that ${licence} may be published under ${outbound}.`;
}

/**
 * Checks a contribution's licence against a Datanet's policy and returns its SPDX id. Throws `unknown_licence`,
 * `licence_forbidden`, `licence_incompatible`.
 */
export function checkLicence(licence: string, policy: LicencePolicy): string {
  const id = spdxId(licence);
  const lists = (ids: string[]) => ids.some((one) => one.toLowerCase() === id.toLowerCase());
  if (lists(policy.denied) || (policy.allowed.length > 0 && !lists(policy.allowed))) {
    const taken = policy.allowed.filter((one) => !policy.denied.includes(one));
    throw new ColophonError(
      `This Datanet takes nothing under ${id}.${taken.length > 0 ? ` It takes ${taken.join(', ')}.` : ''}`,
      { code: 'licence_forbidden', param: 'licence' },
    );
  }
  const why = policy.outbound === null ? null : incompatibility(id, spdxId(policy.outbound));
  if (why === null) return id;
  throw new ColophonError(
    `The licence ${id} does not fit this Datanet, published under ${policy.outbound}: ${why}`,
    {
      code: 'licence_incompatible',
      param: 'licence',
    },
  );
}
