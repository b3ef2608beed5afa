/** What the thread runs that reads the tables of languages, and ends then. */
export { readLanguageTables as default } from './language_tables.ts';
