// Lists that come in pages. Each kind of paging takes the URL of the list and gives an iterator of pages; `index.d.ts`
// describes them. What goes wrong in pages is found: a page that comes twice, a list without end, a whole page of one key. Only
// `link` follows what the server says, and to another server only if told to, without credentials.
import { PagingError } from "./errors.js";
import * as http from "./http.js";
import * as log from "./log.js";
import { parse, resolve, withParams } from "./url.js";

// Pages of one list, unless the integration says otherwise: ten million items at a hundred a page. More is a server that
// never ends, or a list that wants to be asked for in parts.
const PAGES_MAX = 100_000;

// Header fields that go to another server as well: they say what may be answered.
const HARMLESS = ["accept", "accept-language", "content-type"];

/** Follows `Link: <…>; rel="next"`, absolute or relative. The position is the next page's URL. */
export function link(url, { followElsewhere = false, ...options } = {}) {
  const step = (items, response) => {
    const fields = response.headers.filter(([name]) => name.toLowerCase() === "link");
    const target = fields.map(([, value]) => linkNext(value)).find((one) => one !== null);
    return target === undefined ? null : resolve(response.url, target);
  };
  const ask = (position, first, given) => {
    if (parse(position).origin === parse(first).origin) return http.get(position, given);
    if (!followElsewhere) {
      throw new PagingError(
        "elsewhere",
        `the next page of ${first} is on another server, ${position}; to ask for it, without the credential, ` +
          `give followElsewhere: true`,
      );
    }
    log.warn("the next page is elsewhere, and is asked for without credentials", { url: position });
    const { auth, headers = {}, options: more = {}, ...rest } = given;
    const harmless = Object.entries(headers).filter(([name]) => HARMLESS.includes(name.toLowerCase()));
    const others = Object.entries(more).filter(([name]) => name !== "auth");
    return http.get(position, { ...rest, headers: Object.fromEntries(harmless), options: Object.fromEntries(others) });
  };
  return pages(url, step, ask, options);
}

/** Sends the token that a JSON Pointer finds in a page's body as this parameter of the next request. */
export function token(url, param, pointer, options) {
  const step = (items, response) => {
    const value = point(response.json(), pointer);
    if (value === undefined || value === null || value === false || value === "") return null;
    if (typeof value === "string" || typeof value === "number") return String(value);
    const shown = JSON.stringify(value).slice(0, 200);
    throw new PagingError("body", `the token at ${pointer} of ${response.url} is neither text nor a number: ${shown}`);
  };
  return pages(url, step, byParam(param), options);
}

/** Sends the token in a header field of an answer as this parameter of the next request. */
export function tokenInHeader(url, param, header, options) {
  return pages(url, (items, response) => response.header(header) || null, byParam(param), options);
}

/** Counts this parameter up until a page is empty. */
export function numbered(url, param, { first = 1, ...options } = {}) {
  return pages(url, counted((items) => Math.min(items.length, 1)), byParam(param), options, { start: String(first) });
}

/** Counts this parameter up by the items that came, from 0 until a page is empty. */
export function offset(url, param, options) {
  return pages(url, counted((items) => items.length), byParam(param), options, { start: "0" });
}

/** Asks for what comes after the last item, by a key of it. */
export function keyset(url, param, key, options) {
  let largest = 0;
  const step = (items, response, at) => {
    if (items.length === 0) return null;
    const last = String(key(items.at(-1)));
    if (last !== at) {
      largest = Math.max(largest, items.length);
      return last;
    }
    // Only what is known already: the end, unless there may be more of the same behind it.
    if (items.length <= 1 || items.length < largest) return null;
    throw new PagingError(
      "stuck",
      `a whole page of ${response.url} has the key \`${last}\`; ask for larger pages, or page by something that is unique`,
    );
  };
  return pages(url, step, byParam(param), options, { overlapping: true });
}

function* pages(url, step, ask, options = {}, { start = null, overlapping = false } = {}) {
  const { itemsAt = "", resume = null, pagesMax = PAGES_MAX, params, ...given } = options;
  const first = withParams(url, params);
  const seen = new Set();
  let position = resume ?? start;
  let before = null;
  for (let number = 1; number <= pagesMax; number++) {
    const response = position === null ? http.get(first, given) : ask(position, first, given);
    response.raiseForStatus();
    const items = point(response.json(), itemsAt);
    if (!Array.isArray(items)) {
      const found = items === undefined ? "nothing" : "no list";
      throw new PagingError(
        "body",
        `there is ${found} at \`${itemsAt}\` of the answer of ${response.url}; itemsAt says where the list is`,
      );
    }
    const next = step(items, response, position);
    // The pages of a keyset may overlap, and their keys tell whether it goes on.
    const same = items.length > 0 && !overlapping && response.text === before;
    if (same || (next !== null && seen.has(next))) {
      throw new PagingError(
        "repeated",
        `page ${number} of ${first}: the server gives the same page again; does it take the parameter that says which page ` +
          `is wanted?`,
      );
    }
    seen.add(next);
    before = response.text;
    // A page that only says that there are no more is none.
    if (items.length > 0 || next !== null || start === null) yield { items, response, number, next };
    if (next === null) return;
    position = next;
  }
  throw new PagingError(
    "endless",
    `${first} has more than ${pagesMax} pages; ask for less, for example since a time, or raise pagesMax`,
  );
}

const byParam = (param) => (position, first, given) => http.get(withParams(first, { [param]: position }, true), given);

const counted = (count) => (items, response, at) => {
  if (!/^\d+$/.test(at)) throw new PagingError("body", `the position \`${at}\` is not a number; begin at the beginning`);
  const step = count(items);
  return step > 0 ? String(Number(at) + step) : null;
};

/** The target of the first link of the field whose (first) `rel` has `next` among its words (RFC 8288). */
function linkNext(field) {
  for (const [, target, attributes] of field.matchAll(/<([^>]*)>((?:[^<"]|"(?:[^"\\]|\\.)*"?)*)/g)) {
    const named = [...attributes.matchAll(/;\s*([^=;,\s]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;,\s]*))/g)];
    const relation = named.find(([, name]) => name.toLowerCase() === "rel");
    const words = (relation?.[2] ?? relation?.[3] ?? "").toLowerCase().split(/\s+/);
    if (words.includes("next")) return target.trim();
  }
  return null;
}

/** What a JSON Pointer finds; undefined where there is nothing. */
function point(value, pointer) {
  for (const part of pointer.split("/").slice(1)) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = value[name];
  }
  return value;
}
