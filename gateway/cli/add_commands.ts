/** How a plugin that comes with Colophon brings commands of its own. */
import type { Command } from 'commander';
import type { Output, OutputOptions } from './output.ts';

export interface CommandTools {
  /** A command with the flags that all have. */
  add(parent: Command, usage: string, description: string): Command;
  /** A command that only has others under it. */
  group(parent: Command, name: string, description: string): Command;
  output(options: OutputOptions): Output;
  /** What the process ends with. */
  exit(code: number): void;
}

/** Adds them. It is called by every command line: what a command does is imported when it is called. */
export type AddCommands = (program: Command, tools: CommandTools) => void;
