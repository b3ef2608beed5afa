/** What a Realtime session is set to, and what a response may set for itself. */
import { type Static, Type } from 'typebox';
import { ColophonError } from '../contract/index.ts';
import { samplingFields } from '../http/fields.ts';
import { checkNames, checkParameters, functionField, readFunction } from '../http/tools.ts';
import { maybe } from '../schema/nullable.ts';
import type { FunctionTool } from '../text/tools/index.ts';
import { newId } from './realtime_items.ts';

const tool = Type.Object({
  ...functionField.properties,
  type: Type.String(),
  // What is no function has none.
  name: maybe(functionField.properties.name),
});

export const generationFields = {
  output_modalities: maybe(Type.Array(Type.Enum(['text', 'audio']), { minItems: 1, maxItems: 2 })),
  instructions: maybe(Type.String()),
  max_output_tokens: maybe(
    Type.Union([Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 }), Type.Literal('inf')]),
  ),
  temperature: samplingFields.temperature,
  tools: maybe(Type.Array(tool, { maxItems: 128 })),
  tool_choice: maybe(
    Type.Union([
      Type.Enum(['none', 'auto', 'required']),
      Type.Object({ type: Type.String(), name: maybe(Type.String()) }),
    ]),
  ),
  parallel_tool_calls: maybe(Type.Boolean()),
  audio: Type.Optional(Type.Unknown()),
  prompt: Type.Optional(Type.Unknown()),
};

const generation = Type.Object(generationFields);

export const sessionUpdate = Type.Object({
  type: maybe(Type.String()),
  model: maybe(Type.String()),
  truncation: Type.Optional(Type.Unknown()),
  ...generationFields,
});

type GivenTool = Static<typeof tool>;
type GivenGeneration = Static<typeof generation>;
type GivenSession = Static<typeof sessionUpdate>;

/** What a response is generated with. */
export interface Settings {
  instructions: string;
  max_output_tokens: number | 'inf';
  temperature: number | undefined;
  tools: GivenTool[];
  tool_choice: NonNullable<GivenGeneration['tool_choice']>;
  parallel_tool_calls: boolean;
}

export class Session {
  readonly id = newId('sess');
  readonly model: string;
  readonly #expires: number;
  settings: Settings = {
    instructions: '',
    max_output_tokens: 'inf',
    temperature: undefined,
    tools: [],
    tool_choice: 'auto',
    parallel_tool_calls: true,
  };

  /** `expires`: Unix seconds at which its socket is closed. */
  constructor(model: string, expires: number) {
    this.model = model;
    this.#expires = expires;
  }

  /** Changes what is given, or throws and changes nothing. */
  update(given: GivenSession): void {
    if (given.type && given.type !== 'realtime') {
      throw unsupported('session.type', `Only sessions of the type 'realtime' are supported.`);
    }
    if (given.model && given.model !== this.model) {
      throw unsupported(
        'session.model',
        `The model of a session cannot be changed; this one's is '${this.model}'. Open a new socket for another.`,
      );
    }
    if (given.truncation && given.truncation !== 'disabled') {
      throw unsupported(
        'session.truncation',
        `Conversations are never truncated: delete items instead, and leave 'truncation' out or set it to "disabled".`,
      );
    }
    this.settings = withGiven(this.settings, given, 'session');
  }

  shown(): object {
    const { temperature, ...settings } = this.settings;
    return {
      type: 'realtime',
      object: 'realtime.session',
      id: this.id,
      model: this.model,
      expires_at: this.#expires,
      output_modalities: ['text'],
      ...settings,
      ...(temperature === undefined ? {} : { temperature }),
      prompt: null,
      truncation: 'disabled',
      tracing: null,
      include: null,
    };
  }
}

/** Settings with what an event gives in their place; `at` is its field: "session" or "response". */
export function withGiven(settings: Settings, given: GivenGeneration, at: string): Settings {
  if (given.output_modalities?.includes('audio') || isGiven(given.audio)) {
    const field = isGiven(given.audio) ? 'audio' : 'output_modalities';
    throw unsupported(
      `${at}.${field}`,
      `Audio is not supported. Leave 'audio' out, and 'output_modalities' out or ["text"].`,
    );
  }
  if (isGiven(given.prompt)) {
    throw unsupported(
      `${at}.prompt`,
      `Stored prompts are not supported. Write the text into 'instructions'.`,
    );
  }
  if (given.tools) functionsOf(given.tools, at);
  return {
    instructions: given.instructions ?? settings.instructions,
    max_output_tokens: given.max_output_tokens ?? settings.max_output_tokens,
    temperature: given.temperature ?? settings.temperature,
    tools: given.tools ?? settings.tools,
    tool_choice: given.tool_choice ?? settings.tool_choice,
    parallel_tool_calls: given.parallel_tool_calls ?? settings.parallel_tool_calls,
  };
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function unsupported(param: string, sentence: string): ColophonError {
  return new ColophonError(sentence, { param, code: 'unsupported_parameter' });
}

/** Tools as functions; throws ColophonError where they cannot be called. */
export function functionsOf(tools: readonly GivenTool[], at: string): FunctionTool[] {
  const param = (index: number) => `${at}.tools[${index}]`;
  const functions = tools.map(({ type, name, ...rest }, index) => {
    if (type !== 'function') {
      throw unsupported(
        `${param(index)}.type`,
        `Tools of the type '${type.slice(0, 100)}' are not supported, only of the type 'function'.`,
      );
    }
    if (!name) {
      throw new ColophonError(`Missing required parameter: '${param(index)}.name'.`, {
        param: `${param(index)}.name`,
        code: 'missing_required_parameter',
      });
    }
    return readFunction({ ...rest, name });
  });
  checkNames(functions, param);
  functions.forEach((one, index) => {
    checkParameters(one, false, `${param(index)}.parameters`);
  });
  return functions;
}
