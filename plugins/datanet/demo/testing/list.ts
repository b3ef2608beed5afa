/** A small ICD-10-CM tabular list, for tests: 25 examples of two contributors. */

export const diag = (name: string, description: string, inner = '') =>
  `<diag><name>${name}</name><desc>${description}</desc>${inner}</diag>`;
const terms = (...notes: string[]) =>
  `<inclusionTerm>${notes.map((note) => `<note>${note}</note>`).join('')}</inclusionTerm>`;
const codes = Array.from({ length: 8 }, (_, i) =>
  diag(
    `I45.${i}`,
    `Block of kind ${i}`,
    `${terms(`Kind ${i} &amp; blocked`)}${diag(`I45.${i}1`, `Left block ${i}`)}${diag(`I45.${i}2`, `Right block ${i}`)}`,
  ),
).join('');
export const tabularList = `<?xml version="1.0" encoding="utf-8"?>
<ICD10CM.tabular><version>2026</version>
<chapter><name>9</name><desc>Diseases of the heart (I00-I99)</desc><sectionIndex><sectionRef first="I45" last="I46">Hearts</sectionRef></sectionIndex>
<section id="I45"><desc>Blocks</desc>${diag('I45', 'Other conduction disorders', `${terms('Shared words')}${codes}`)}</section></chapter>
<chapter><name>11</name><desc>Diseases of digestion (K00-K95)</desc>
<section id="K20"><desc>Gullet</desc>${diag('K20', 'Esophagitis', `${terms('Shared words', 'Esophagitis')}<excludes1><note>ulcer (K22.1)</note></excludes1>${diag('K20.0', 'Eosinophilic\n  esophagitis')}`)}${diag('K21', 'Reflux')}</section></chapter>
</ICD10CM.tabular>`;
