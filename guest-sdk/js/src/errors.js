// Errors: a class for each case of the contract's errors. What the host says of HTTP is an `HttpError` with the case in
// `code`, below the class that it belongs to; so `instanceof Unavailable` holds for whatever may be tried again.

/** Why something failed. The message names the fault, the place and the mend. `tag` is the contract's case. */
export class AgentError extends Error {
  static tag = "other";

  constructor(message, options) {
    super(message, options);
    this.name = this.constructor.name;
    this.tag = this.constructor.tag;
  }
}

export class Denied extends AgentError {
  static tag = "denied";
}

export class Invalid extends AgentError {
  static tag = "invalid";
}

export class Limit extends AgentError {
  static tag = "limit";
}

export class Conflict extends AgentError {
  static tag = "conflict";
}

export class Unavailable extends AgentError {
  static tag = "unavailable";
}

/** The source refused the credentials. (What the *host* refuses is `Denied`.) */
export class Unauthenticated extends AgentError {
  static tag = "unauthenticated";
}

export class NotSupported extends AgentError {
  static tag = "not-supported";
}

export class NotFound extends AgentError {
  static tag = "not-found";
}

const CLASSES = [AgentError, Denied, Invalid, Limit, Conflict, Unavailable, Unauthenticated, NotSupported, NotFound];

function classOf(tag) {
  return CLASSES.find((one) => one.tag === tag) ?? AgentError;
}

/** A request without an answer. There is no multiple inheritance, so it answers `instanceof` for its case as well. */
export class HttpError extends AgentError {
  constructor(code, message, tag) {
    super(message);
    this.name = "HttpError";
    this.code = code;
    this.tag = tag;
  }
}

// Characters of a body that are quoted in an error.
const EXCERPT_CHARS = 200;

/** An answer with status 400 or more, as `raiseForStatus` throws it. `tag` says what it means. */
export class StatusError extends HttpError {
  constructor(response) {
    const { status, url } = response;
    const retryAfterSecs = retryAfter(response.header("retry-after"));
    const budgetSpent = response.header("x-ratelimit-remaining") === "0";
    const waits = retryAfterSecs === null ? "" : ` (wait ${retryAfterSecs} s)`;
    const body = JSON.stringify(response.text.slice(0, EXCERPT_CHARS));
    // A server that names a time for a 403, or says that nothing is left, means its rate limit.
    const asksToWait = retryAfterSecs !== null || (status === 403 && budgetSpent);
    super("status", `${url} answered ${status}${waits}: ${advice(status)}; body ${body}`, tagOfStatus(status, asksToWait));
    this.name = "StatusError";
    Object.assign(this, { response, status, retryAfterSecs, budgetSpent });
    this.isCredentials = (status === 401 || status === 403) && !asksToWait;
    this.isTemporary = [408, 429, 500, 502, 503, 504].includes(status) || asksToWait;
  }
}

function tagOfStatus(status, asksToWait) {
  if (asksToWait || status === 408 || status === 429 || status >= 500) return "unavailable";
  if (status === 401 || status === 403) return "unauthenticated";
  return status === 404 || status === 410 ? "not-found" : "other";
}

const TOO_SLOW = "it was too slow; ask for less at a time, or again later";
const BAD_REQUEST = "it does not take this request; look at the parameters";
const NOT_THERE = "there is no such thing, or the credential may not see it";
const ADVICE = {
  400: BAD_REQUEST,
  401: "it does not know who asks; grant a credential, or replace one that has expired, and name it with `auth`",
  403: "it does not allow this; the credential needs more rights, or its budget of requests is spent",
  404: NOT_THERE,
  405: "it does not take this method here",
  408: TOO_SLOW,
  410: NOT_THERE,
  422: BAD_REQUEST,
  429: "it was asked too often; wait, and ask less often",
  504: TOO_SLOW,
};

/** What to do about a status. */
function advice(status) {
  return ADVICE[status] ?? (status >= 500 ? "it has a fault of its own; ask again later" : "it refused");
}

/** `Retry-After`, in seconds or as a date. */
function retryAfter(value) {
  const trimmed = (value ?? "").trim();
  if (/^\d+$/.test(trimmed)) return Number(trimmed);
  const at = /^[A-Za-z]{3,9},? /.test(trimmed) ? Date.parse(trimmed) : NaN;
  return Number.isNaN(at) ? null : Math.max(0, Math.floor((at - Date.now()) / 1000));
}

/** Why there is no next page of a list, where the answers themselves were good. `code` is `repeated`, `endless`, `stuck`,
 * `elsewhere` or `body`. */
export class PagingError extends AgentError {
  constructor(code, message) {
    super(message);
    this.name = "PagingError";
    this.code = code;
    this.tag = code === "endless" ? "limit" : "other";
  }
}

const FINER = [HttpError, PagingError];

for (const one of CLASSES.slice(1)) {
  Object.defineProperty(one, Symbol.hasInstance, {
    value: (error) =>
      one.prototype.isPrototypeOf(error) || (FINER.some((finer) => finer.prototype.isPrototypeOf(error)) && error.tag === one.tag),
  });
}

// Case of the contract's `http-error`: case of `error` that it belongs to, and what stands before the text.
const HTTP = {
  denied: ["denied", ""],
  invalid: ["invalid", "the request is malformed: "],
  "rate-limited": ["unavailable", "rate limited until "],
  timeout: ["unavailable", "no answer in time"],
  "too-large": ["limit", "the answer is too large: "],
  tls: ["other", "TLS: "],
  dns: ["unavailable", "DNS: "],
  connection: ["unavailable", "connection: "],
  limit: ["limit", ""],
  other: ["other", ""],
};

/** The error for a case of the contract's `error`. */
export function fromHost({ tag, val }) {
  return new (classOf(tag))(val ?? tag);
}

/** The error for a case of the contract's `http-error`. */
export function fromHttp({ tag, val }) {
  const [of, before] = HTTP[tag] ?? ["other", ""];
  const error = new HttpError(tag, before + (val ?? ""), of);
  if (tag === "rate-limited") error.until = val;
  return error;
}

const PREFIXES = {
  denied: "denied: ",
  limit: "limit: ",
  unavailable: "unavailable: ",
  // The contract has no case for it; the host knows it by this beginning (docs/contract.md).
  unauthenticated: "unauthenticated: ",
  "not-supported": "not supported: ",
  "not-found": "not found: ",
};

/** An error as a sentence that says its case, for where only text goes on. */
export function sentence(error) {
  return error instanceof AgentError ? (PREFIXES[error.tag] ?? "") + error.message : String(error);
}
