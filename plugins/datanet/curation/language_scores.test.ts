import { eld } from 'eld/small';
import { expect, test } from 'vitest';
import { language } from './language.ts';
import { longestText } from './language_scores.ts';
import { readLanguageTables } from './language_tables.ts';
import { settingsOf } from './settings.ts';
import { mix } from './words.ts';

const sentences = [
  'The patient was admitted to the hospital with a fever and a cough this morning.',
  'Der Patient wurde heute Morgen mit Fieber und Husten in das Krankenhaus eingeliefert.',
  'Le patient a été admis à l’hôpital ce matin avec de la fièvre et de la toux.',
  'El paciente ingresó esta mañana en el hospital con fiebre y tos persistente.',
  'Пациент был госпитализирован сегодня утром с высокой температурой и кашлем.',
  'Пацієнта госпіталізували сьогодні вранці з високою температурою та кашлем.',
  'Ο ασθενής εισήχθη σήμερα το πρωί στο νοσοκομείο με πυρετό και βήχα.',
  'أدخل المريض إلى المستشفى هذا الصباح بسبب الحمى والسعال الشديد.',
  'המטופל אושפז הבוקר בבית החולים עם חום גבוה ושיעול.',
  'मरीज को आज सुबह बुखार और खांसी के साथ अस्पताल में भर्ती कराया गया।',
  '患者今天早上因发烧和咳嗽住院治疗，目前情况稳定，预计三天后可以出院回家休息。',
  '患者は今朝、発熱と咳のため入院しました。容体は安定しています。',
  '환자는 오늘 아침 열과 기침으로 병원에 입원했습니다.',
  'ผู้ป่วยเข้ารับการรักษาในโรงพยาบาลเมื่อเช้านี้ด้วยอาการไข้และไอ',
  'Hasta bu sabah ateş ve öksürük şikayetiyle hastaneye yatırıldı. İyi değil.',
  'Bệnh nhân nhập viện sáng nay vì sốt cao và ho nhiều.',
  "L'home va dir que no s'hi podia fer res més, i d'aquí n'eixí.",
];

/** Texts in no language: letters of two scripts, with what stands between words, and halves of surrogate pairs. */
function* noise(count: number): Generator<string> {
  let random = 7;
  const below = (end: number) => {
    random = mix(random + 1);
    return random % end;
  };
  const scripts: Array<[number, number]> = [
    ...([
      [0x20, 0x7f],
      [0xa0, 0x250],
      [0x370, 0x460],
      [0x530, 0x700],
      [0x900, 0xf00],
    ] as Array<[number, number]>),
    ...([
      [0x1e00, 0x2100],
      [0x3040, 0x9fff],
      [0xac00, 0xe000],
      [0xff00, 0x10000],
    ] as Array<[number, number]>),
  ];
  for (let i = 0; i < count; i++) {
    const own = [scripts[below(scripts.length)]!, scripts[below(scripts.length)]!];
    const letter = () => {
      const [from, to] = own[below(5) === 0 ? 1 : 0]!;
      return below(7) === 0 ? " '"[below(2)]! : String.fromCharCode(from + below(to - from));
    };
    yield Array.from({ length: below(longestText + 1) }, letter).join('');
  }
}

/** Of sentences: their beginnings of every length, and pieces of two together. */
function* texts(): Generator<string> {
  for (const [at, sentence] of sentences.entries()) {
    for (let end = 0; end <= sentence.length; end++) yield sentence.slice(0, end);
    const other = sentences[(at + 3) % sentences.length]!;
    for (let end = 0; end <= sentence.length; end += 3) yield `${sentence.slice(end)} ${other}`;
    yield `${sentence} ${sentence}`.toUpperCase();
    yield sentence.replaceAll(' ', '');
  }
  yield* noise(5000);
}

test('the verdict on every text is the library’s own', async () => {
  const all = [...texts()].map((text) => text.slice(0, longestText));
  const settings = settingsOf({ language: { minCharacters: 0 } });
  const input = { settings, schema: null, heldOut: null, languages: await readLanguageTables() };
  const told = new Map<string, number>();
  for (const text of all) {
    const found = eld.detect(text);
    const expected = found.isReliable() ? found.language : 'unknown';
    const { counts } = await language.each([{ seq: 1, content: { text } }], input);
    expect([text, counts]).toEqual([text, { [expected]: 1 }]);
    told.set(expected, (told.get(expected) ?? 0) + 1);
  }
  // It is a test of verdicts of many kinds.
  expect(told.size).toBeGreaterThan(15);
  expect(told.get('unknown')).toBeGreaterThan(100);
  expect(told.get('unknown')).toBeLessThan(all.length - 500);
});
