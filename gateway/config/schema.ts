/** The configuration: the one source of its types, its checks and the published JSON schema. */
import { type Static, Type } from 'typebox';
import { Bytes } from './bytes.ts';

const closed = { additionalProperties: false } as const;

const websocket = Type.Object(
  {
    message_limit: Bytes({
      default: 8 * 2 ** 20,
      minimum: 1024,
      description: 'Largest message; a larger one closes its socket (1009).',
    }),
    send_limit: Bytes({
      default: 32 * 2 ** 20,
      minimum: 2 ** 16,
      description: 'What may wait to be sent to one client; one that lets more gather is cut.',
    }),
    ping_seconds: Type.Number({
      default: 30,
      exclusiveMinimum: 0,
      maximum: 3600,
      description: 'Time between pings; a client that has not answered one when the next is due is cut.',
    }),
    idle_seconds: Type.Number({
      default: 900,
      exclusiveMinimum: 0,
      maximum: 86_400,
      description:
        'A socket on which nothing is generated and nothing was asked for so long is closed (1001).',
    }),
    lifetime_seconds: Type.Number({
      default: 3600,
      exclusiveMinimum: 0,
      maximum: 86_400,
      description: 'How long a socket may be open; what it generates then is finished first.',
    }),
    max_per_tenant: Type.Integer({
      default: 1000,
      minimum: 1,
      maximum: 1_000_000,
      description: 'Sockets that one tenant may have open; more get a 429.',
    }),
    max_streams: Type.Integer({
      default: 16,
      minimum: 1,
      maximum: 1024,
      description: 'Responses that one socket may generate at once.',
    }),
  },
  { ...closed, description: 'WebSockets: /v1/realtime and /v1/responses.' },
);

const server = Type.Object(
  {
    host: Type.String({
      default: '127.0.0.1',
      minLength: 1,
      description: 'Address to listen on. Anything but loopback needs access.api_key or access.keys.',
    }),
    port: Type.Integer({
      default: 8080,
      minimum: 0,
      maximum: 65535,
      description: 'Port to listen on; 0 takes a free one.',
    }),
    body_limit: Bytes({
      default: 8 * 2 ** 20,
      minimum: 1024,
      description: 'Largest request body; larger ones get a 413.',
    }),
    drain_seconds: Type.Number({
      default: 30,
      minimum: 0,
      maximum: 3600,
      description: 'How long running requests may go on after the server was asked to stop.',
    }),
    stalled_client_seconds: Type.Number({
      default: 60,
      exclusiveMinimum: 0,
      maximum: 3600,
      description: 'A stream whose client takes nothing for so long is cut.',
    }),
    websocket,
  },
  { ...closed, description: 'The HTTP server.' },
);

const limits = (description: string) =>
  Type.Optional(
    Type.Object(
      {
        requests_per_minute: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 53 - 1 })),
        tokens_per_minute: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 53 - 1 })),
      },
      { ...closed, description },
    ),
  );

const access = Type.Object(
  {
    api_key: Type.Optional(
      Type.String({
        minLength: 1,
        secret: true,
        description:
          'Clients send it as "Authorization: Bearer KEY". Without one the server is for this machine only.',
      }),
    ),
    keys: Type.Array(
      Type.Object(
        {
          key: Type.String({ minLength: 1, secret: true, description: 'As access.api_key.' }),
          tenant: Type.String({
            minLength: 1,
            maxLength: 128,
            description:
              'Whose it is. Several keys may be of one tenant; that of access.api_key is "default".',
          }),
          min_priority: Type.Integer({
            default: 0,
            minimum: -(2 ** 31),
            maximum: 2 ** 31 - 1,
            description:
              'The lowest "priority" that its requests may ask for; lower values go first. access.api_key allows any.',
          }),
          isolate: Type.Boolean({
            default: false,
            description: "Keep the tenant's prefixes from those of others, as a cache_salt of its own does.",
          }),
          limits: limits('Instead of access.limits, for this key alone.'),
        },
        { ...closed },
      ),
      {
        default: [],
        description: 'Keys of tenants, among whom the engine is shared fairly, whatever each asks for.',
      },
    ),
    limits: limits('What each tenant may have in a minute; what is left out is unlimited.'),
    allowed_hosts: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description:
        'Host names that requests may use besides localhost and loopback addresses, while there is no key.',
    }),
    allowed_origins: Type.Array(Type.String({ minLength: 1 }), {
      default: [],
      description:
        'Origins of web pages that may call the server, e.g. "https://app.example.org"; local pages always may.',
    }),
  },
  { ...closed, description: 'Who may use the server.' },
);

const store = Type.Object(
  {
    days: Type.Number({
      default: 30,
      exclusiveMinimum: 0,
      maximum: 3650,
      description: 'How long what clients asked to be kept (stored chat completions, responses) is kept.',
    }),
    file_bytes: Bytes({
      default: 512 * 2 ** 20,
      minimum: 1,
      description: 'Largest file that /v1/files takes; larger ones get a 413.',
    }),
    tenant_bytes: Bytes({
      default: 16 * 2 ** 30,
      minimum: 1,
      description: 'What the files of one tenant may take together.',
    }),
  },
  { ...closed, description: 'What the API keeps in the data folder.' },
);

const batches = Type.Object(
  {
    concurrency: Type.Integer({
      default: 8,
      minimum: 1,
      maximum: 4096,
      description: 'Requests of batches that run at once, those of all tenants together.',
    }),
    priority: Type.Integer({
      default: 2 ** 31 - 1,
      minimum: -(2 ** 31),
      maximum: 2 ** 31 - 1,
      description: 'The class of their requests; lower values go first, and requests that do not say have 0.',
    }),
    lines: Type.Integer({
      default: 50_000,
      minimum: 1,
      maximum: 10_000_000,
      description: 'Requests of one batch, at most.',
    }),
    unfinished: Type.Integer({
      default: 100,
      minimum: 1,
      maximum: 100_000,
      description: 'Batches of one tenant that are not over, at most.',
    }),
  },
  { ...closed, description: 'Batches run in the background.' },
);

const text = Type.Object(
  {
    special_tokens_in_content: Type.Enum(['plain', 'parse'], {
      default: 'plain',
      description:
        'How "<|im_end|>" and the like are read inside the content of a chat message: "plain" as ordinary text, so that no user can forge a turn; "parse" as special tokens, as transformers does. Prompts of /v1/completions are always parsed.',
    }),
  },
  { ...closed, description: 'Text and tokens.' },
);

const log = Type.Object(
  {
    level: Type.Enum(['debug', 'info', 'warn', 'error', 'silent'], {
      default: 'info',
      description: 'What is logged.',
    }),
    format: Type.Enum(['auto', 'json', 'pretty'], {
      default: 'auto',
      description: '"auto" is pretty on a terminal and JSON lines elsewhere.',
    }),
  },
  { ...closed, description: 'Logs go to stderr and never hold prompts or completions.' },
);

const plugin = Type.Object(
  {
    from: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Package name or path (relative to this file) of a plugin that is not first-party.',
      }),
    ),
    enabled: Type.Optional(Type.Boolean({ description: 'false leaves the plugin out.' })),
  },
  { additionalProperties: true, description: "A plugin's own settings." },
);

export const configSchema = Type.Object(
  {
    home: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'Folder of data and caches. Default: the XDG folders of the user.',
      }),
    ),
    server,
    access,
    store,
    batches,
    text,
    log,
    plugins: Type.Record(Type.String(), plugin, {
      default: {},
      description: 'Settings of plugins, by name; each plugin checks its own. "native" is the engine.',
    }),
  },
  { ...closed, title: 'Colophon configuration' },
);

export type ConfigValues = Static<typeof configSchema>;
