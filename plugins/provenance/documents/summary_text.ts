/** The summary of training content as Markdown. */
import type { ContentSummary, SummaryField, SummarySection } from './content_summary.ts';

export function summaryText({ template, model, sections, open }: ContentSummary): string {
  const head = [`# Public summary of training content: ${escaped(model)}`, '', `Template: ${template}.`];
  const missing =
    open.length === 0
      ? []
      : [
          '',
          `Open, for the provider to say (\`plugins.provenance.provider\`): ${open.length} of the fields below.`,
        ];
  return `${[...head, ...missing, ...sections.flatMap((section) => lines(section, 2))].join('\n')}\n`;
}

function lines({ number, title, fields, sections = [] }: SummarySection, level: number): string[] {
  return [
    '',
    `${'#'.repeat(level)} ${number}. ${title}`,
    ...(fields.length > 0 ? ['', ...fields.flatMap(fieldLines)] : []),
    ...sections.flatMap((section) => lines(section, level + 1)),
  ];
}

function fieldLines({ name, answer }: SummaryField): string[] {
  if (answer === null) return [`- **${name}:** *open*`];
  if (typeof answer === 'string') return [`- **${name}:** ${escaped(answer)}`];
  return [`- **${name}:**`, ...answer.map((one) => `  - ${escaped(one)}`)];
}

/** On one line, and nothing of it markup: names and sources are whatever contributors wrote. */
const escaped = (text: string) =>
  text.replace(/\s+/g, ' ').replace(/[\\`*_{}[\]<>#|]/g, (mark) => `\\${mark}`);
