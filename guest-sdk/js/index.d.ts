// Write an integration for the agent in JavaScript or TypeScript: everything that `agent-sdk` offers. All of it is
// synchronous. Checks and limits are the host's; they are repeated here only where a mistake can be named better or earlier.

/** A configuration, as it stands in agent.yaml. The host has checked it against the schema in the manifest. */
export type Config = Record<string, any>;
/** A JSON Schema (draft 2020-12). */
export type Schema = Record<string, unknown>;
/** Sources give ids as numbers or as text. */
export type Id = string | number;

/** What this integration is, has and asks for. */
export interface Manifest {
  /** `a-z 0-9 -`, at most 64. */
  name: string;
  /** By semantic versioning. */
  version: string;
  /** A sentence for people. */
  description?: string;
  /** The kind of the source, by which records say where they come from; the name unless given. */
  refType?: string;
  /** The schema of the configuration. `writeOnly` marks a secret. */
  config?: Schema;
  /** What it exports. */
  models?: Model[];
  /** The kinds of data that `onboard` has. */
  onboard?: string[];
  /** The names that `mutate` knows. */
  mutations?: string[];
  /** The events that `webhook` takes. */
  webhookEvents?: string[];
  /**
   * The header field in which the source says which event a webhook is, for example `x-github-event`: the host then refuses
   * those that are not among `webhookEvents`.
   */
  webhookEventHeader?: string;
  /** How the source signs its webhooks, which the host then checks. */
  webhookSignature?: WebhookSignature;
  /** What it asks to reach. What it may reach is asked ∩ granted. */
  network?: NetworkRule[];
  /** The credentials that it uses by name, and what each is for; a `SecretSetting` where a setting holds it. */
  credentials?: Record<string, string | SecretSetting>;
  /** Whether it has git repositories exported. */
  git?: boolean;
}

/**
 * A credential that a setting of the configuration holds. The schema of the configuration marks the setting `writeOnly`; in the
 * configuration that the integration sees, a placeholder stands there.
 */
export interface SecretSetting {
  /** A JSON Pointer to the setting, for example `/token`. */
  setting: string;
  /** What it is for. */
  description?: string;
  /**
   * How the host puts it into a request; as a bearer token unless given. `body` is for what a server is to keep: requests name
   * it with `options: { fill: NAME }`, and it goes to `paths` alone (`/repos/*/*/hooks`).
   */
  place?:
    | { bearer: true }
    | { basic: { username: string } }
    | { header: { name: string; prefix?: string } }
    | { query: { name: string } }
    | { body: { paths?: string[] } };
}

/** `setting` is a JSON Pointer to the secret, which the schema of the configuration marks `writeOnly`; and one of the ways. */
export type WebhookSignature = { setting: string } & (
  | { hmac_sha256: { header: string; prefix?: string } }
  | { token: { header: string } }
  | { standard_webhooks: Record<string, never> }
);

/** A kind of record. */
export class Model {
  /**
   * `name` is for example `github.Issue`: 1 to 128 of `A-Z a-z 0-9 _ . -`. `key` are JSON Pointers to the fields that together
   * identify a record (`/ref_id` unless given). `dedup` says whether the host leaves out records that the backend already has
   * in the same form (it does unless told).
   */
  constructor(name: string, options?: { schema?: Schema; key?: string[]; dedup?: boolean });
  readonly name: string;
}

/** Made with `NetworkRule.https`, `http` or `config`. */
export interface NetworkRule {
  scheme?: "http" | "https";
  host: string;
  port?: number;
  methods: string[];
  path: string;
}
interface RuleOptions {
  /** In capitals; none: all. */
  methods?: string[];
  /** What paths must begin with, on a segment boundary. */
  path?: string;
}
export const NetworkRule: {
  /** `https` on this host, port 443 unless given. `*.example.com` stands for every name below it. */
  https(host: string, options?: RuleOptions & { port?: number }): NetworkRule;
  /** `http` on this host, port 80 unless given. */
  http(host: string, options?: RuleOptions & { port?: number }): NetworkRule;
  /**
   * Wherever the URL in a field of the configuration points: its scheme, host and port. `pointer` is a JSON Pointer in which
   * `*` stands for each element of an array: `/url`, `/repos/*\/url`.
   */
  config(pointer: string, options?: RuleOptions): NetworkRule;
};

/** An integration: only the manifest must be given; a call that is left out answers that it is not supported. */
export interface Integration {
  manifest: Manifest;
  /** Tries the configuration against the real system. Throw only where it could not be tried at all. */
  validateConfig?(config: Config): ValidateResult | void;
  /** Data for a person to choose from: `users`, `repos`, `projects`, …; one object each. May be a generator. */
  onboard?(kind: string, config: Config): Iterable<object>;
  /** Exports records through sessions of `run`. What was committed stays, however this ends. */
  export?(run: Run, config: Config): void;
  /**
   * Changes one thing in the real system. Throws `NotSupported` for an unknown name, `NotFound` where the thing does not
   * exist, `Invalid` for unfit data.
   */
  mutate?(name: string, data: any, config: Config): MutateResult | void;
  /** Takes a webhook whose signature the host has checked. */
  webhook?(webhook: Webhook, config: Config): MutateResult | void;
}

/** What a component exports; the file ends with `export const integration = component({…})`. */
export function component(integration: Integration): Component;
export interface Component {
  describe(): string;
  validateConfig(config: string): string;
  onboardExport(kind: string, config: string): string;
  export(config: string): string;
  mutate(name: string, data: string, config: string): string;
  webhook(headers: [string, string][], body: Uint8Array, config: string): string;
}

/** What trying a configuration found. Without errors it is well. */
export interface ValidateResult {
  /**
   * What is wrong, for a person; one fault each: a text, or an error that was caught. `unauthenticated: …`, or an
   * `Unauthenticated`, tells the operator that the source refused the credentials.
   */
  errors?: (string | Error)[];
  /** The version of the system that answered. */
  serverVersion?: string;
  /** The URL below which repositories are. */
  repoUrl?: string;
}

/** What a mutation or a webhook changed. */
export class MutateResult {
  /** `response` is what the caller gets back, in the mutation's own form. */
  constructor(response?: unknown);
  /** Adds a record that changed, in the form in which an export sends it. */
  mutated(model: Model | string, record: object): this;
}

/** A webhook, its signature checked. */
export class Webhook {
  readonly headers: [string, string][];
  /** The body as it came. */
  readonly body: Uint8Array;
  readonly text: string;
  /** The first header field of this name; capitals do not matter. */
  header(name: string): string | null;
  /** The body, read as JSON. Throws `Invalid`. */
  json(): any;
}

/** One export: opens the sessions at the top of the tree, and gathers what became of the source's parts. */
export class Run {
  /** Opens a model session at the top. Throws `Invalid` if the manifest does not have the model. */
  model(model: Model | string): Session;
  /** Opens a session at the top that gives structure and progress only. */
  tracking(name: string): Session;
  /** Notes a part of the source (a project, a repository) that went well. */
  exported(refId: Id, name?: string): void;
  /** Notes a part of the source that failed while the others went on: the run counts as partial. */
  failed(refId: Id, name: string, error: unknown): void;
}

/**
 * An open session. It ends in one of three ways, each said in so many words: `done` commits, `rollback` forgets, `skip` leaves
 * out for good. Best used with `run`; `using session = …` rolls back what was not ended.
 */
export class Session {
  private constructor();
  /**
   * Calls `work` with this session and returns its result. Rolls back when it throws. It must have ended the session when it
   * returns: otherwise the session is rolled back and `Conflict` thrown.
   */
  run<T>(work: (session: Session) => T): T;
  /** Opens a model session below this one, for the object that this level is about. Ids are 1 to 512 bytes. */
  model(model: Model | string, objectId: Id, objectName?: string): Session;
  /** Opens a session below this one that gives structure and progress only. */
  tracking(name: string, objectId: Id, objectName?: string): Session;
  /**
   * Sends a record. It waits in the buffer until there is half a mebibyte, for `flush`, or for a commit; so a fault that the
   * host finds can come with a later record. It names its line.
   */
  send(record: object): void;
  sendAll(records: Iterable<object>): void;
  /** Sends what waits in the buffer. `checkpoint` and `done` do it of their own accord. What is refused stays in it. */
  flush(): void;
  /** What this session has sent, by the host's answers. */
  readonly sent: { accepted: number; unchanged: number };
  /** The cursor that was committed last at this session's path. Null on the first run: export everything. */
  readonly lastProcessed: string | null;
  /** True when the run has been asked to end: go to the next good place, commit and return. */
  shouldStop(): boolean;
  /** Says how far this session is, in whatever unit the integration counts. */
  progress(current: number, total?: number): void;
  /** Commits what was sent so far, with this cursor (any text, at most 64 KiB), and goes on. */
  checkpoint(cursor: Id): void;
  /** Commits and ends the session. Without a cursor the old one stays. Throws `Conflict` while children are open. */
  done(cursor?: Id | null): Summary;
  /** Forgets what was sent since the last checkpoint, and ends. The cursors above are held back for the rest of the run. */
  rollback(): void;
  /** Like `rollback`, but does not hold back the cursors above. The reason (at most 1,024 bytes) is counted and shown. */
  skip(why: string): void;
  readonly ended: boolean;
}

/** What a session did, as the host counted it (`wit/schemas/session-summary.json`). */
export interface Summary {
  path: string;
  records: number;
  bytes: number;
  unchanged: number;
  duration_ms: number;
  cursor: string | null;
  held_back: boolean;
}

/** Why something failed. The message names the fault, the place and the mend. */
export class AgentError extends Error {
  constructor(message: string, options?: { cause?: unknown });
  /** What it is: `denied`, `invalid`, `limit`, `conflict`, `unavailable`, `unauthenticated`, `not-supported`, `not-found`,
   * `other`. */
  readonly tag: string;
}
/** Not granted. The message is the grant that an operator would have to add. */
export class Denied extends AgentError {}
/** Something given is not acceptable: a configuration, a record, a mutation's data. */
export class Invalid extends AgentError {}
/** A limit would be passed. The message names the limit and its value. */
export class Limit extends AgentError {}
/** Not possible in this state: open children, a session that is open already. */
export class Conflict extends AgentError {}
/** Not possible now; it may be tried again. */
export class Unavailable extends AgentError {}
/**
 * The source refused the credentials: they are wrong, have expired or may not do this. The operator sees it as an exit code of
 * its own. (What the *host* refuses is `Denied`.)
 */
export class Unauthenticated extends AgentError {}
/** The integration has nothing of this name: an onboarding kind, a mutation. */
export class NotSupported extends AgentError {}
/** The thing to change does not exist. */
export class NotFound extends AgentError {}
/** A request without an answer. It is also `instanceof` the class of its case: `Denied`, `Unavailable`, … */
export class HttpError extends AgentError {
  /** `denied`, `invalid`, `rate-limited`, `timeout`, `too-large`, `tls`, `dns`, `connection`, `limit`, `status`, `other`. */
  readonly code: string;
  /** With `rate-limited`: until when (RFC 3339). */
  readonly until?: string;
}
/**
 * An answer with status 400 or more: `Unauthenticated` for 401 and 403, `NotFound` for 404 and 410, `Unavailable` for 408, 429,
 * 5xx and where the answer says to wait.
 */
export class StatusError extends HttpError {
  readonly response: http.Response;
  /** 400 to 599. */
  readonly status: number;
  /** Seconds to wait before the request is worth repeating, where the server said so (`Retry-After`); otherwise null. */
  readonly retryAfterSecs: number | null;
  /** Whether the budget of requests is spent (`X-RateLimit-Remaining: 0`): some servers answer 403 for it. */
  readonly budgetSpent: boolean;
  /** Whether the credentials are what is wrong: missing, expired, or without the right. */
  readonly isCredentials: boolean;
  /** Whether the same request may succeed later. */
  readonly isTemporary: boolean;
}
/** Why there is no next page of a list, where the answers themselves were good. The pages before it are good. */
export class PagingError extends AgentError {
  /**
   * `repeated`: the server gave a page again. `endless`: more pages than `pagesMax`. `stuck`: a whole page of one key.
   * `elsewhere`: the next page is on another server. `body`: the answer is not what was expected.
   */
  readonly code: "repeated" | "endless" | "stuck" | "elsewhere" | "body";
}

/** HTTP through the host, which keeps policy, credentials and redirects. */
export namespace http {
  export interface Options {
    /** Parameters of the query: null leaves one out, an array repeats it. */
    params?: Record<string, unknown> | [string, unknown][];
    headers?: Record<string, string>;
    /** The name of a credential, which the host puts in and the integration never sees. */
    auth?: string;
    /** The body (at most 16 MiB), written as JSON. */
    json?: unknown;
    /** The body as it is. */
    body?: string | Uint8Array;
    /** Milliseconds for the whole exchange, up to 600,000; 60,000 unless given. */
    timeoutMs?: number;
    /** Bytes of the answer's body; 16 MiB unless given, which is also the most. */
    maxBody?: number;
    /** Others by their names in the contract. */
    options?: Record<string, Id>;
  }
  /** An answer, whatever its status. */
  export class Response {
    readonly status: number;
    /** The URL that answered. */
    readonly url: string;
    /** Header fields in order, names in lower case. */
    readonly headers: [string, string][];
    /** The whole body, decompressed. */
    readonly body: Uint8Array;
    /** Whether the status is 200 to 299. */
    readonly ok: boolean;
    /** The body as text; bytes that are not UTF-8 are replaced. */
    readonly text: string;
    /** The first header field of this name; capitals do not matter. */
    header(name: string): string | null;
    /** The body, read as JSON. */
    json(): any;
    /** Itself, if the status is below 400; otherwise throws `StatusError`. */
    raiseForStatus(): this;
  }
  /** A request under way. */
  export class Pending {
    /** Waits for the answer and takes it, once. */
    take(): Response;
  }
  /** Sends a request and waits for its answer. Throws `HttpError` where there is none. */
  export function request(method: string, url: string, options?: Options): Response;
  export function get(url: string, options?: Options): Response;
  export function post(url: string, options?: Options): Response;
  export function put(url: string, options?: Options): Response;
  export function patch(url: string, options?: Options): Response;
  function _delete(url: string, options?: Options): Response;
  export { _delete as delete };
  /** Sends a request and returns at once, so that up to 32 can be under way. */
  export function submit(method: string, url: string, options?: Options): Pending;
  /** Waits until one of these has its answer, or the time is over. Returns those that have: none after the time. */
  export function waitAny(pendings: Pending[], options?: { timeoutMs?: number }): Pending[];
  /** `GET` of many URLs, up to `atOnce` (8 unless given, at most 32) under way; answers in the order of the URLs. */
  export function getAll(urls: Iterable<string>, options?: Options & { atOnce?: number }): Generator<Response, void, void>;
  /** The URL with these parameters in its query. */
  export function withParams(url: string, params: Options["params"], replace?: boolean): string;
}

/**
 * Lists that come in pages: iterators of pages. Each answer is checked with `raiseForStatus`; what goes wrong in pages is a
 * `PagingError`.
 */
export namespace paging {
  export interface Page {
    /** The items, in the server's order. May be empty. */
    readonly items: any[];
    /** The answer, with its header fields and its whole body. */
    readonly response: http.Response;
    /** Which page of this run it is, counted from 1. */
    readonly number: number;
    /** Where the next page begins, for `resume`; null after the last. */
    readonly next: string | null;
  }
  /** Beside these, whatever `http.get` takes: it goes with each request. */
  export interface Options extends http.Options {
    /** Where in a page's body the list is, as a JSON Pointer: `/data/items`. Unless given, the body is the list. */
    itemsAt?: string;
    /** The position that an earlier run had come to (`Page.next`); null begins at the beginning. */
    resume?: string | null;
    /** Pages after which to give up; 100,000 unless given. */
    pagesMax?: number;
  }
  type Pages = Generator<Page, void, void>;
  /**
   * Follows `Link: <…>; rel="next"`, absolute or relative. The position is the next page's URL. A next page on another server
   * (scheme, host and port) is a `PagingError` unless `followElsewhere` is true; then it is asked for without the credential and
   * without header fields that could hold one.
   */
  export function link(url: string, options?: Options & { followElsewhere?: boolean }): Pages;
  /**
   * Sends the token that a JSON Pointer finds in a page's body (`/next_cursor`) as this parameter of the next request; ends where
   * it is absent, null, false or empty. The position is the token.
   */
  export function token(url: string, param: string, pointer: string, options?: Options): Pages;
  /** The same with the token in a header field of the answer. */
  export function tokenInHeader(url: string, param: string, header: string, options?: Options): Pages;
  /**
   * Counts this parameter up, from `first` (1 unless given) until a page is empty: a page that is shorter than asked for does not
   * end it. The position is the next page's number.
   */
  export function numbered(url: string, param: string, options?: Options & { first?: number }): Pages;
  /** Counts this parameter up by the items that came, from 0 until a page is empty. The position is the next offset. */
  export function offset(url: string, param: string, options?: Options): Pages;
  /**
   * Asks for what comes after the last item, by a key of it (an id, a time) in this parameter; the server must sort by that key,
   * upwards. Ends at an empty page, or at one that is only the last item again. The position is the key.
   */
  export function keyset(url: string, param: string, key: (item: any) => Id, options?: Options): Pages;
}

/** Lines for the log of this integration. `console` writes there as well. */
export namespace log {
  type Fields = Record<string, unknown>;
  function error(message: unknown, fields?: Fields): void;
  function warn(message: unknown, fields?: Fields): void;
  function info(message: unknown, fields?: Fields): void;
  function debug(message: unknown, fields?: Fields): void;
  function trace(message: unknown, fields?: Fields): void;
}

/**
 * A small store for this integration: at most 1,024 keys of 1 to 256 bytes, values of at most 64 KiB, 1 MiB in all. Changes
 * are seen at once by this run, and become durable with the next `done` or `checkpoint` of any session.
 */
export namespace state {
  export interface Expiry {
    /** 1 to 31,536,000. */
    expiresSecs?: number;
  }
  export function get(key: string): string | null;
  export function getJson(key: string, otherwise?: unknown): any;
  export function set(key: string, value: string, options?: Expiry): void;
  export function setJson(key: string, value: unknown, options?: Expiry): void;
  function _delete(key: string): void;
  export { _delete as delete };
}

/** Git repositories, processed natively by the host. */
export namespace git {
  /** A repository (`wit/schemas/git-repo.json`). */
  interface Repo {
    ref_id: string;
    name: string;
    /** An `http` or `https` URL, an absolute path of the agent's machine, or a `file://` URL. */
    url: string;
    ref_type?: string;
    /** The name of the credential to fetch with. */
    credential?: string;
    commit_url_template?: string;
    branch_url_template?: string;
    /** Whether the owners of files' lines are exported. Default: true. */
    blame?: boolean;
    /** Whether languages are told and lines are counted, with the owners. Default: true. */
    count?: boolean;
    /** How ids of records are made. Default: hashed. */
    ids?: "hashed" | "legacy";
    pull_requests?: { id: string; ref_id: string; url: string; branch_name: string; last_commit_sha: string }[];
  }
  /** Queues a repository. The job commits with `session` and is worked off after the export returns. */
  function exportRepo(session: Session, repo: Repo): void;
}

/** What the operator should know about the run. */
export namespace control {
  /** Says that the integration waits until then, and why (at most 1,024 bytes). It neither waits nor stops the clock. */
  function pause(until: string | Date, why: string): void;
  /** Says that it goes on. */
  function resume(): void;
  /** The URL at which this integration receives webhooks; null where the agent receives none. */
  function webhookUrl(): string | null;
}

/** Named OAuth 2 credentials. Their values stay in the host. */
export namespace oauth {
  /** Gets a new access token for the credential of this name, for requests that come after. */
  function refresh(credential: string): void;
}
