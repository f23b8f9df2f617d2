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

export class NotSupported extends AgentError {
  static tag = "not-supported";
}

export class NotFound extends AgentError {
  static tag = "not-found";
}

const CLASSES = [AgentError, Denied, Invalid, Limit, Conflict, Unavailable, NotSupported, NotFound];

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

/** An answer with status 400 or more, as `raiseForStatus` throws it. */
export class StatusError extends HttpError {
  constructor(message, response) {
    super("status", message, tagOfStatus(response.status));
    this.name = "StatusError";
    this.response = response;
  }
}

function tagOfStatus(status) {
  if (status === 401 || status === 403) return "denied";
  if (status === 404 || status === 410) return "not-found";
  return status === 429 || status >= 500 ? "unavailable" : "other";
}

for (const one of CLASSES.slice(1)) {
  Object.defineProperty(one, Symbol.hasInstance, {
    value: (error) =>
      one.prototype.isPrototypeOf(error) || (HttpError.prototype.isPrototypeOf(error) && error.tag === one.tag),
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
  "not-supported": "not supported: ",
  "not-found": "not found: ",
};

/** An error as a sentence that says its case, for where only text goes on. */
export function sentence(error) {
  return error instanceof AgentError ? (PREFIXES[error.tag] ?? "") + error.message : String(error);
}
