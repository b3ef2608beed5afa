export { argumentsSchema } from './forced_calls.ts';
export { RepeatedCalls } from './repeated_calls.ts';
export type { FunctionTool, ToolChoice, ToolPart } from './tool.ts';
export type { ToolCallReader } from './tool_call_reader.ts';
export { toolsOfTemplate } from './tool_form.ts';
export { ToolUse, type ToolUseOptions } from './tool_use.ts';
