// The SDK with the stand-in host, natively: `node --test guest-sdk/js/tests`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as sdk from "../index.js";
import { fromHost, fromHttp } from "../src/errors.js";
import { manifestDocument } from "../src/manifest.js";
import { decodeByBuiltins, decodeByHand, encodeByHand } from "../src/utf8.js";
import { Host } from "../testing.js";

const { http, Model, paging } = sdk;
const THINGS = new Model("test.Thing");
const URL = "https://x.invalid";

const of = (work) => sdk.component({ manifest: { name: "test", version: "0.1.0", models: [THINGS] }, export: work });
const run = (host, work) => host.export(of(work), {});

test("only done and checkpoint commit", () => {
  const host = new Host();
  run(host, (run) =>
    run.model(THINGS).run((things) => {
      things.send({ ref_id: "1" });
      things.checkpoint("a");
      things.send({ ref_id: "2" });
      assert.deepEqual(host.records["test.Thing"], [{ ref_id: "1" }]);
      assert.equal(things.done("b").cursor, "b");
    }),
  );
  assert.deepEqual(host.records["test.Thing"], [{ ref_id: "1" }, { ref_id: "2" }]);
  assert.deepEqual(host.cursors, { "test.Thing": "b" });
});

test("an exception rolls back and goes on its way", () => {
  const host = new Host();
  const work = (run) =>
    run.tracking("top").run((top) =>
      top.model(THINGS, 7, "seven").run((things) => {
        things.send({ ref_id: "1" });
        throw new RangeError("lost");
      }),
    );
  assert.throws(() => run(host, work), RangeError);
  assert.deepEqual([host.records, host.rolledBack], [{}, ["top/7/test.Thing", "top"]]);
});

test("to leave without an end is a mistake", () => {
  const host = new Host();
  assert.throws(() => run(host, (run) => run.model(THINGS).run((things) => things.send({ ref_id: "1" }))), {
    name: "Conflict",
    message: /test\.Thing returned without an end.*call done\(cursor\)/,
  });
  assert.throws(() => run(host, (run) => run.model(THINGS).run(async () => {})), /leave out async/);
  assert.deepEqual([host.records, host.rolledBack], [{}, ["test.Thing", "test.Thing"]]);
});

test("a session that is disposed of is rolled back", () => {
  const host = new Host();
  run(host, (run) => {
    const things = run.model(THINGS);
    things.send({ ref_id: "1" });
    things[Symbol.dispose ?? Symbol.for("Symbol.dispose")]();
    assert.ok(things.ended);
    for (const use of ["flush", "done", "rollback"]) assert.throws(() => things[use](), /has ended already/);
  });
  assert.deepEqual([host.records, host.rolledBack], [{}, ["test.Thing"]]);
});

test("a child that failed holds back the cursor above, one that was skipped does not", () => {
  const host = new Host();
  const top = (fail) =>
    run(host, (run) =>
      run.tracking("top").run((top) => {
        top.model(THINGS, 1).run((things) => things.skip("no access"));
        try {
          top.model(THINGS, 2).run(() => fail());
        } catch (error) {
          run.failed(2, "two", error);
        }
        top.done("c");
      }),
    );
  const down = () => {
    throw new sdk.Unavailable("down");
  };
  assert.deepEqual(top(down), [{ ref_id: "2", name: "two", error: "unavailable: down" }]);
  assert.deepEqual([host.cursors, host.skipped], [{}, { "top/1/test.Thing": "no access" }]);
});

test("records go in batches, and a refused one stays", () => {
  const host = new Host();
  run(host, (run) =>
    run.model(THINGS).run((things) => {
      const sizes = [];
      const { raw } = things;
      const send = raw.send.bind(raw);
      raw.send = (bytes) => (sizes.push(bytes.length), send(bytes));
      for (let i = 0; i < 3000; i++) things.send({ ref_id: String(i), body: "x".repeat(1000) });
      raw.send = () => {
        throw Object.assign(new Error(), { payload: { tag: "invalid", val: "record 7" } });
      };
      for (const commit of ["flush", "done"]) assert.throws(() => things[commit](), sdk.Invalid);
      raw.send = (bytes) => (sizes.push(bytes.length), send(bytes));
      things.done(3);
      assert.equal(sizes.length, 6);
      for (const size of sizes.slice(0, 5)) assert.ok(size >= 512 << 10 && size < (512 << 10) + 1100);
      assert.deepEqual(things.sent, { accepted: 3000, unchanged: 0 });
    }),
  );
  assert.equal(host.records["test.Thing"].length, 3000);
});

test("what cannot cross is refused before it ends the instance", () => {
  const host = new Host();
  run(host, (run) => {
    assert.throws(() => run.model("a\ud800"), /half of a surrogate pair/);
    assert.throws(() => run.tracking(null), /is to be text, and is null/);
    assert.throws(() => run.tracking("t").progress(-1), /whole number/);
    assert.throws(() => run.model(THINGS).send(undefined), /cannot be written as JSON: it is undefined/);
    sdk.log.info("a \ud800 b", { n: 1 });
  });
  assert.deepEqual(host.log, [["info", "a \ufffd b"]]);
});

test("cursors and state are kept between exports", () => {
  const host = new Host();
  const seen = [];
  const work = (run) =>
    run.model(THINGS).run((things) => {
      seen.push([things.lastProcessed, sdk.state.getJson("n", 0)]);
      sdk.state.setJson("n", seen.length);
      things.done(seen.length);
    });
  run(host, work);
  run(host, work);
  assert.deepEqual(seen, [[null, 0], ["1", 1]]);
});

test("what a request is made of", () => {
  const host = new Host();
  host.answer("POST", URL + "/p", { json: { ok: true } });
  const answer = http.post(URL + "/p?a=b#f", {
    params: { "c d": "ö&", no: null, many: [1, true] },
    json: { x: "ä" },
    auth: "token",
    timeoutMs: 1500,
  });
  assert.deepEqual(answer.json(), { ok: true });
  const [request] = host.requests;
  assert.equal(request.url, URL + "/p?a=b&c%20d=%C3%B6%26&many=1&many=true#f");
  assert.deepEqual([request.body, request.headers], ['{"x":"ä"}', [["content-type", "application/json"]]]);
  assert.deepEqual(Object.fromEntries(request.options), { auth: "token", "timeout-ms": "1500" });
  assert.throws(() => http.get(URL, { timeout: 1 }), /no option timeout; it has params/);
});

test("a bad status is an error of the right kind, and says what to do", () => {
  const host = new Host();
  const { Unauthenticated, NotFound, AgentError, Unavailable } = sdk;
  const wait = { "Retry-After": "60" };
  const spent = { "x-ratelimit-remaining": "0" };
  for (const [status, headers, kind, advice] of [
    [401, {}, Unauthenticated, /: it does not know who asks; grant a credential/],
    [403, {}, Unauthenticated, /: it does not allow this/],
    [403, wait, Unavailable, / answered 403 \(wait 60 s\): /],
    [403, spent, Unavailable, /its budget of requests is spent/],
    [404, {}, NotFound, /there is no such thing/],
    [408, {}, Unavailable, /too slow/],
    [418, {}, AgentError, /: it refused; body "no"$/],
    [429, { "retry-after": "Fri, 31 Dec 1999 23:59:59 GMT" }, Unavailable, / \(wait 0 s\): it was asked too often/],
    [503, { "retry-after": "soon" }, Unavailable, / answered 503: it has a fault of its own/],
  ]) {
    host.answer("GET", URL, { status, headers, body: "no" });
    assert.throws(
      () => http.get(URL).raiseForStatus(),
      (error) => {
        assert.match(error.message, advice);
        assert.equal(error.isCredentials, kind === Unauthenticated);
        assert.equal(error.isTemporary, kind === Unavailable);
        return error instanceof kind && error instanceof sdk.StatusError && !(error instanceof sdk.Denied);
      },
    );
  }
  host.answer("GET", URL, { status: 304 });
  assert.equal(http.get(URL).raiseForStatus().status, 304);
});

test("the host is told that the source refused the credentials", () => {
  const host = new Host();
  host.answer("GET", URL, { status: 401 });
  const [part] = run(host, (run) => {
    try {
      http.get(URL).raiseForStatus();
    } catch (error) {
      run.failed(1, "one", error);
    }
  });
  assert.match(part.error, /^unauthenticated: https:/);
});

test("the contract's cases become errors", () => {
  const contract = readFileSync(new globalThis.URL("../../../wit/package.wit", import.meta.url), "utf8");
  const cases = (name) =>
    [...contract.split(`variant ${name} {`)[1].split("\n  }")[0].matchAll(/^    ([a-z-]+)/gm)].map(([, tag]) => tag);
  for (const tag of cases("error")) assert.equal(fromHost({ tag, val: "why" }).tag, tag);
  for (const tag of cases("http-error")) {
    const error = fromHttp({ tag, val: "why" });
    assert.deepEqual([error.code, error instanceof sdk.HttpError, error instanceof sdk.AgentError], [tag, true, true]);
  }
  assert.ok(fromHttp({ tag: "timeout" }) instanceof sdk.Unavailable);
  assert.equal(fromHttp({ tag: "rate-limited", val: "2026-11-21T09:30:00Z" }).until, "2026-11-21T09:30:00Z");
});

test("several at a time and in order", () => {
  const host = new Host();
  const urls = Array.from({ length: 20 }, (_, i) => `${URL}/${i}`);
  urls.forEach((url, i) => host.answer("GET", url, { json: i }));
  const found = Array.from(http.getAll(urls, { atOnce: 3 }), (answer) => answer.json());
  assert.deepEqual(found, urls.map((_, i) => i));
  const pending = http.submit("GET", URL + "/1");
  assert.deepEqual(http.waitAny([pending]), [pending]);
  pending.take();
  assert.throws(() => pending.take(), /taken already/);
});

const ALL = Array.from({ length: 25 }, (_, i) => ({ id: i }));
const LIST = URL + "/list";
const ids = (pages) => Array.from(pages).flatMap((page) => page.items.map((item) => item.id));
const parameter = (request, name) => new globalThis.URL(request.url).searchParams.get(name);

/** A server that answers with what `make` says of the request. */
function serving(make) {
  const host = new Host();
  host.answer("GET", LIST, make);
  return host;
}

test("pages by link", () => {
  const host = serving((request) => {
    const page = Number(parameter(request, "page") ?? 1);
    const first = `</list?page=2&x=a,b>; title="<a>, \\"b\\""; REL="last next", </list>; rel="prev"`;
    const link = [first, "<?page=3>; rel = next", `<?page=1>; rel="nextish", <x>; rel="prev"; rel="next"`][page - 1];
    return { json: ALL.slice(page * 10 - 10, page * 10), headers: { Link: link } };
  });
  const pages = Array.from(paging.link(LIST, { params: { per_page: 10 }, auth: "token" }));
  assert.deepEqual(
    pages.map((page) => [page.number, page.items.length, page.next]),
    [[1, 10, LIST + "?page=2&x=a,b"], [2, 10, LIST + "?page=3"], [3, 5, null]],
  );
  assert.deepEqual(ids(pages).length, 25);
  assert.ok(host.requests.every((request) => request.options[0][1] === "token"));
  assert.equal(ids(paging.link(LIST, { resume: pages[0].next }))[0], 10);
});

test("pages by token, number, offset and key", () => {
  const slice = (from, count = 10) => ALL.slice(from, from + count);
  serving((request) => {
    const from = Number((parameter(request, "cursor") ?? "t+0").slice(2));
    return { json: { data: { items: slice(from) }, meta: { next: from < 20 ? `t+${from + 10}` : null } } };
  });
  const tokens = (more) => paging.token(LIST, "cursor", "/meta/next", { itemsAt: "/data/items", ...more });
  assert.equal(ids(tokens()).length, 25);
  assert.deepEqual(ids(tokens({ resume: "t+20" })), [20, 21, 22, 23, 24]);
  assert.throws(() => ids(paging.token(LIST, "cursor", "/data", { itemsAt: "/data/items" })), /neither text nor a number/);
  assert.throws(() => ids(paging.link(LIST)), { name: "PagingError", code: "body", message: /itemsAt says where the list is/ });

  serving((request) => {
    const from = Number(parameter(request, "after") ?? 0);
    return { json: slice(from), headers: { "x-next": from < 20 ? String(from + 10) : "" } };
  });
  assert.equal(ids(paging.tokenInHeader(LIST, "after", "X-Next")).length, 25);

  const host = serving((request) => ({ json: slice(Number(parameter(request, "page")) * 10 - 10) }));
  assert.equal(ids(paging.numbered(LIST, "page")).length, 25);
  assert.match(host.requests.at(-1).url, /page=4/, "a short page does not end it");
  assert.deepEqual(ids(paging.numbered(LIST, "page", { resume: "3" })).length, 5);
  assert.throws(() => ids(paging.numbered(LIST, "page", { resume: "soon" })), /`soon` is not a number/);

  serving((request) => ({ json: slice(Number(parameter(request, "offset")), 4) }));
  assert.equal(ids(paging.offset(LIST, "offset")).length, 25);

  const after = (request) => Number(parameter(request, "since_id") ?? -1);
  serving((request) => ({ json: ALL.filter(({ id }) => id > after(request)).slice(0, 10) }));
  assert.equal(ids(paging.keyset(LIST, "since_id", (item) => item.id)).length, 25);
  serving((request) => ({ json: ALL.filter(({ id }) => id >= after(request)).slice(0, 10) }));
  assert.deepEqual([...new Set(ids(paging.keyset(LIST, "since_id", (item) => item.id)))].length, 25);
});

test("pages that lead astray", () => {
  const fails = (pages, code, message) => assert.throws(() => Array.from(pages), { name: "PagingError", code, message });
  for (const there of ["https://evil.invalid/", "//evil.invalid/", "http://x.invalid/list", "https://x.invalid:8443/list", "https://evil.invalid\\@x.invalid/"]) {
    serving(() => ({ json: [1], headers: { link: `<${there}>; rel=next` } }));
    const pages = paging.link(LIST);
    assert.deepEqual(pages.next().value.items, [1], "what came before is there");
    assert.throws(() => pages.next(), sdk.PagingError);
    fails(paging.link(LIST), "elsewhere", /on another server.*followElsewhere: true/);
    fails(paging.link(LIST, { resume: there.replace(/^\/\//, "https://") }), "elsewhere", /on another server/);
  }
  serving(() => ({ json: [1], headers: { link: "</list>; rel=next" } }));
  fails(paging.link(LIST), "repeated", /the same page again/);
  serving(() => ({ json: [1] }));
  fails(paging.numbered(LIST, "page"), "repeated", /does it take the parameter/);
  const host = serving(() => ({ json: { n: host.requests.length, items: [host.requests.length] } }));
  fails(paging.token(LIST, "n", "/n", { itemsAt: "/items", pagesMax: 5 }), "endless", /more than 5 pages.*pagesMax/);
  serving(() => ({ json: [{ id: 7 }, { id: 7 }] }));
  fails(paging.keyset(LIST, "since_id", (item) => item.id), "stuck", /the key `7`/);
});

test("a next page elsewhere is asked for without secrets, if at all", () => {
  const host = serving(() => ({ json: [{ id: 1 }], headers: { link: "<https://y.invalid/list>; rel=next" } }));
  host.answer("GET", "https://y.invalid/list", { json: [{ id: 2 }] });
  const headers = { "x-api-key": "secret", Accept: "text/json" };
  const pages = paging.link(LIST, { auth: "token", headers, timeoutMs: 9, followElsewhere: true });
  assert.deepEqual(ids(pages), [1, 2]);
  assert.deepEqual(host.requests[0].options, [["auth", "token"], ["timeout-ms", "9"]]);
  assert.deepEqual([host.requests[1].options, host.requests[1].headers], [[["timeout-ms", "9"]], [["Accept", "text/json"]]]);
  assert.match(host.log[0][1], /without credentials/);
});

test("links are resolved as a browser resolves them", () => {
  const host = new Host();
  const base = URL + "/a/b?c=d";
  for (const link of ["/x?y=1", "?y=2", "z", `${URL}:443/w`]) {
    const expected = new globalThis.URL(link, base).href;
    host.answer("GET", base, { json: [], headers: { link: `<${link}>; rel="next"` } });
    host.requests.length = 0;
    // There is no answer there.
    assert.throws(() => Array.from(paging.link(base)), /no answer/);
    assert.equal(new globalThis.URL(host.requests[1].url).href, expected);
  }
});

test("the manifest is whole and has what the host reads", () => {
  const manifest = {
    name: "test",
    version: "1.2.3",
    models: [THINGS],
    network: [sdk.NetworkRule.https("*.example.com", { port: 8443 }), sdk.NetworkRule.config("/url")],
    credentials: { token: "Reads", signer: { setting: "/secret", description: "Signs", place: { body: { paths: ["/hooks"] } } } },
    webhookEvents: ["push"],
    webhookEventHeader: "X-GitHub-Event",
    webhookSignature: { setting: "/secret", token: { header: "x-token" } },
  };
  const schema = JSON.parse(readFileSync(new globalThis.URL("../../../wit/schemas/manifest.json", import.meta.url), "utf8"));
  const document = manifestDocument(manifest);
  assert.deepEqual(Object.keys(document).sort(), Object.keys(schema.properties).sort());
  assert.equal(document.webhook_event_header, "x-github-event");
  for (const credential of document.asks.credentials) {
    for (const name of Object.keys(credential)) assert.ok(name in schema.$defs.credential.properties, name);
  }
  assert.deepEqual(document.asks.credentials[1].place, { body: { paths: ["/hooks"] } });
  for (const rule of document.asks.network) {
    for (const name of Object.keys(rule)) assert.ok(name in schema.$defs.network_rule.properties, name);
  }
  assert.throws(() => manifestDocument({ name: "x", ref_type: "y" }), /no member ref_type; it can have name/);
});

test("what is not offered is not supported", () => {
  const host = new Host();
  const world = sdk.component({ manifest: { name: "test", version: "0.1.0" } });
  assert.equal(JSON.parse(world.describe()).name, "test");
  assert.deepEqual(JSON.parse(world.validateConfig("{}")), { ok: true, errors: [] });
  assert.throws(() => world.onboardExport("users", "{}"), sdk.NotSupported);
  assert.throws(() => world.mutate("x", "{}", "{}"), sdk.NotSupported);
  assert.throws(() => world.export("{}"), sdk.NotSupported);
  assert.throws(() => of(() => {}).export("{"), /the configuration is not JSON/);
  assert.throws(() => sdk.component({ manifest: {}, onboardExport() {} }), /knows no onboardExport/);
});

test("UTF-8 by hand is UTF-8", () => {
  const text = "aé€😀\ud800x\ufeff".repeat(5000);
  const bytes = new TextEncoder().encode(text);
  assert.deepEqual(encodeByHand(text), bytes);
  // Every lead byte before every kind of byte that may follow.
  for (let lead = 0; lead < 256; lead++) {
    for (const next of [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff]) {
      const odd = Uint8Array.of(0x61, lead, next, 0x80, 0xbf, 0x62);
      const expected = new TextDecoder().decode(odd);
      assert.deepEqual([decodeByHand(odd), decodeByBuiltins(odd)], [expected, expected]);
    }
  }
  for (const some of [bytes, new TextEncoder().encode("\ufeffafter a mark")]) {
    const expected = new TextDecoder().decode(some);
    assert.deepEqual([decodeByHand(some), decodeByBuiltins(some)], [expected, expected]);
  }
});

// npm takes no links into a package, so that the contract is there twice.
test("the contract is the one that the host speaks", () => {
  const read = (path) => readFileSync(new globalThis.URL(path, import.meta.url), "utf8");
  assert.equal(read("../package.wit"), read("../../../wit/package.wit"), "copy wit/package.wit to guest-sdk/js");
});

test("the README shows the template", () => {
  const read = (path) => readFileSync(new globalThis.URL(path, import.meta.url), "utf8");
  const app = read("../../../host/agent/templates/js/src/app.js").replaceAll("{{name}}", "my-issues").replaceAll("{{title}}", "My issues");
  assert.ok(read("../README.md").includes(app), "copy the template's src/app.js into README.md");
});
