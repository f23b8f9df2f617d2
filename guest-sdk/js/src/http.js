// HTTP through the host: one request, several at a time, or page after page. Policy, credentials and redirects are the
// host's. An answer with a bad status is an answer until `raiseForStatus`.
import { AgentError, fromHttp, HttpError, Invalid, StatusError } from "./errors.js";
import { host, text, toJson } from "./host.js";
import { headerFind } from "./documents.js";
import { decode, encode } from "./utf8.js";

// Characters of a body that are quoted in an error.
const EXCERPT_CHARS = 200;
// Requests that the host lets one instance have under way.
const UNDER_WAY_MAX = 32;
// Pages after which `pages` gives up: a server that always names a next page would keep it going for ever.
const PAGES_MAX = 100_000;

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
    throw new StatusError(`${this.url} answered ${this.#excerpt()}`, this);
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

/** To the URL that the header field `link` names with `rel="next"`. */
export function nextLink(response) {
  for (const [, target, attributes] of (response.header("link") ?? "").matchAll(/<([^>]*)>([^<]*)/g)) {
    if (/;\s*rel\s*=\s*(?:"(?:[^"]* )?next(?: [^"]*)?"|next\b)/i.test(attributes)) return target;
  }
  return null;
}

/** To the same URL with `param` set to the body's `member`; dots go deeper. */
export function nextToken(param, member) {
  return (response) => {
    const value = member.split(".").reduce((at, name) => at?.[name], response.json());
    return value ? { [param]: value } : null;
  };
}

/** To the same URL with the number `param` one higher, until a page has no items. */
export function nextNumber(param, { items = (body) => body, first = 1 } = {}) {
  return (response) => {
    const list = items(response.json());
    if (!list || list.length === 0) return null;
    const now = parse(response.url).query.find(([name]) => name === encodeURIComponent(param));
    return { [param]: Number(now?.[1] ?? first) + 1 };
  };
}

export function* pages(url, { next = nextLink, pagesMax = PAGES_MAX, params, ...options } = {}) {
  let at = withParams(url, params);
  for (let page = 0; page < pagesMax; page++) {
    const response = get(at, options).raiseForStatus();
    yield response;
    const to = next(response);
    if (to === null || to === undefined) return;
    const before = at;
    at = typeof to === "string" ? resolve(response.url, to) : withParams(at, to, true);
    if (parse(at).origin !== parse(url).origin) {
      throw new AgentError(`${before} names a next page on another server, ${at}; it is not followed`);
    }
    if (at === before) throw new AgentError(`${before} names itself as the next page`);
  }
  throw new AgentError(`${url} has more than ${pagesMax} pages (pagesMax)`);
}

/** The URL with these parameters in its query; in place of those of the same names if `replace`. */
export function withParams(url, params, replace = false) {
  if (!params) return url;
  const given = Array.isArray(params) ? params : Object.entries(params);
  const pairs = given
    .flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((one) => [name, one]))
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name, value]) => [encodeParam(name), encodeParam(value)]);
  const { start, query, fragment } = parse(url);
  const names = new Set(given.map(([name]) => encodeParam(name)));
  const kept = replace ? query.filter(([name]) => !names.has(name)) : query;
  const all = [...kept, ...pairs].map((pair) => pair.join("=")).join("&");
  return start + (all && "?" + all) + fragment;
}

const encodeParam = (value) =>
  encodeURIComponent(String(value)).replace(/[!'()*]/g, (c) => "%" + c.charCodeAt(0).toString(16).toUpperCase());

// QuickJS has no URL. These parts are all that is needed; the host checks URLs for what they are.
function parse(url) {
  const [, rest, fragment] = /^([^#]*)(#.*)?$/s.exec(url);
  const mark = rest.indexOf("?");
  const start = mark < 0 ? rest : rest.slice(0, mark);
  const query = mark < 0 ? [] : rest.slice(mark + 1).split("&").filter(Boolean).map(splitPair);
  const [, scheme = "", authority = "", path = ""] = /^([a-z][a-z0-9+.-]*):\/\/([^/]*)(.*)$/is.exec(start) ?? [];
  const port = { http: ":80", https: ":443" }[scheme.toLowerCase()];
  const server = authority.toLowerCase();
  const origin = `${scheme.toLowerCase()}://${port && server.endsWith(port) ? server.slice(0, -port.length) : server}`;
  return { start, query, fragment: fragment ?? "", origin, base: `${scheme}://${authority}`, path };
}

function splitPair(part) {
  const at = part.indexOf("=");
  return at < 0 ? [part] : [part.slice(0, at), part.slice(at + 1)];
}

/** A link as it stands in an answer, against the URL that answered. */
function resolve(base, link) {
  if (/^[a-z][a-z0-9+.-]*:/i.test(link)) return link;
  const { base: server, path, start } = parse(base);
  if (link.startsWith("//")) return server.slice(0, server.indexOf("//")) + link;
  if (link.startsWith("/")) return server + link;
  if (link.startsWith("?")) return start + link;
  return server + path.slice(0, path.lastIndexOf("/") + 1) + link;
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
