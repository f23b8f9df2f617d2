// HTTP through the host: one request, or several at a time. Policy, credentials and redirects are the host's; lists in pages
// have `paging.js`. An answer with a bad status is an answer until `raiseForStatus`.
import { AgentError, fromHttp, HttpError, Invalid, StatusError } from "./errors.js";
import { host, text, toJson } from "./host.js";
import { headerFind } from "./documents.js";
import { withParams } from "./url.js";
import { decode, encode } from "./utf8.js";

export { withParams };

// Characters of a body that are quoted in an error.
const EXCERPT_CHARS = 200;
// Requests that the host lets one instance have under way.
const UNDER_WAY_MAX = 32;

/** An answer, whatever its status. */
export class Response {
  #text;

  constructor({ status, url, headers, body }) {
    Object.assign(this, { status, url, headers, body });
  }

  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  header(name) {
    return headerFind(this.headers, name);
  }

  get text() {
    return (this.#text ??= decode(this.body));
  }

  json() {
    try {
      return JSON.parse(this.text);
    } catch (error) {
      throw new AgentError(`the answer of ${this.url} is not JSON: ${error.message}; ${this.#excerpt()}`);
    }
  }

  raiseForStatus() {
    if (this.status < 400) return this;
    throw new StatusError(this);
  }

  #excerpt() {
    return `status ${this.status}, body ${JSON.stringify(this.text.slice(0, EXCERPT_CHARS))}`;
  }
}

/** A request under way. */
export class Pending {
  constructor(raw) {
    this.raw = raw;
  }

  take() {
    if (this.raw === null) throw new Invalid("the answer of this request has been taken already");
    const raw = this.raw;
    this.raw = null;
    return new Response(callHttp(() => host.http.Pending.take(raw)));
  }
}

function callHttp(work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof AgentError) throw error;
    const refusal = error?.payload ?? error;
    if (typeof refusal?.tag === "string") throw fromHttp(refusal);
    throw error;
  }
}

export function request(method, url, options = {}) {
  const wire = toWire(method, url, options);
  return new Response(callHttp(() => host.http.send(wire)));
}

export const get = (url, options) => request("GET", url, options);
export const post = (url, options) => request("POST", url, options);
export const put = (url, options) => request("PUT", url, options);
export const patch = (url, options) => request("PATCH", url, options);
export { remove as delete };
const remove = (url, options) => request("DELETE", url, options);

export function submit(method, url, options = {}) {
  const wire = toWire(method, url, options);
  return new Pending(callHttp(() => host.http.submit(wire)));
}

export function waitAny(pendings, { timeoutMs = 60_000 } = {}) {
  const open = pendings.filter((pending) => pending.raw !== null);
  const ready = host.http.waitAny(
    open.map((pending) => pending.raw),
    timeoutMs,
  );
  return Array.from(ready, (index) => open[index]);
}

export function* getAll(urls, { atOnce = 8, ...options } = {}) {
  if (!(atOnce >= 1 && atOnce <= UNDER_WAY_MAX)) {
    throw new Invalid(`atOnce is ${atOnce}; it can be 1 to ${UNDER_WAY_MAX}`);
  }
  const underWay = [];
  for (const url of urls) {
    if (underWay.length >= atOnce) yield underWay.shift().take();
    underWay.push(submit("GET", url, options));
  }
  while (underWay.length > 0) yield underWay.shift().take();
}

const KNOWN = ["params", "headers", "auth", "json", "body", "timeoutMs", "maxBody", "options"];

function toWire(method, url, given) {
  const unknown = Object.keys(given).filter((name) => !KNOWN.includes(name));
  if (unknown.length > 0) {
    throw new HttpError("invalid", `a request has no option ${unknown.join(", ")}; it has ${KNOWN.join(", ")}`, "invalid");
  }
  const { params, headers = {}, auth, json, timeoutMs, maxBody, options = {} } = given;
  const fields = Object.entries(headers).map(([name, value]) => [text(name, "a header field"), text(value, name)]);
  let { body } = given;
  if (json !== undefined) {
    if (body !== undefined) throw new HttpError("invalid", "give json or body, not both", "invalid");
    body = toJson(json, "the request's body");
    if (headerFind(fields, "content-type") === null) fields.push(["content-type", "application/json"]);
  }
  const known = { auth, "timeout-ms": timeoutMs, "max-body": maxBody, ...options };
  return {
    method: text(method, "a method"),
    url: text(withParams(url, params), "a URL"),
    headers: fields,
    body: typeof body === "string" ? encode(body) : body,
    options: Object.entries(known)
      .filter(([, value]) => value !== undefined && value !== null)
      .map(([name, value]) => [name, text(value, name)]),
  };
}
