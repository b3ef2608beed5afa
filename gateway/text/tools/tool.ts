/** Tools that a model may call, whatever API names them. */

export interface FunctionTool {
  name: string;
  description?: string | undefined;
  /** A JSON schema of an object; without one the function takes nothing. */
  parameters?: Record<string, unknown> | undefined;
  /** Calls that are forced keep to every keyword of the schema, or it is refused; else to those that can be enforced. */
  strict?: boolean | undefined;
}

/** Whether the model may, must or must not call; a name is the tool that it must call. */
export type ToolChoice = 'none' | 'auto' | 'required' | { name: string };

/** What an answer consists of. The text of a call's arguments comes in pieces after the call. */
export type ToolPart =
  | { type: 'text'; text: string }
  | { type: 'call'; index: number; id: string; name: string }
  | { type: 'arguments'; index: number; text: string };
