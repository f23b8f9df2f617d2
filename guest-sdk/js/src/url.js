// URLs, as far as they are needed: QuickJS has no `URL`. The host checks them for what they are.

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

export function parse(url) {
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
export function resolve(base, link) {
  if (/^[a-z][a-z0-9+.-]*:/i.test(link)) return link;
  const { base: server, path, start } = parse(base);
  if (link.startsWith("//")) return server.slice(0, server.indexOf("//")) + link;
  if (link.startsWith("/")) return server + link;
  if (link.startsWith("?")) return start + link;
  return server + path.slice(0, path.lastIndexOf("/") + 1) + link;
}
