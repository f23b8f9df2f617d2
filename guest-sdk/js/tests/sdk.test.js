// The SDK with the stand-in host, natively: `node --test guest-sdk/js/tests`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as sdk from "../index.js";
import { fromHost, fromHttp } from "../src/errors.js";
import { manifestDocument } from "../src/manifest.js";
import { decodeByBuiltins, decodeByHand, encodeByHand } from "../src/utf8.js";
import { Host } from "../testing.js";

const { http, Model } = sdk;
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

test("a bad status is an error of the right kind", () => {
  const host = new Host();
  const kinds = { 401: sdk.Denied, 404: sdk.NotFound, 418: sdk.AgentError, 429: sdk.Unavailable, 503: sdk.Unavailable };
  for (const [status, kind] of Object.entries(kinds)) {
    host.answer("GET", URL, { status: Number(status), body: "no" });
    assert.throws(
      () => http.get(URL).raiseForStatus(),
      (error) =>
        error instanceof kind &&
        error instanceof sdk.StatusError &&
        !(error instanceof sdk.Conflict) &&
        error.message === `${URL} answered status ${status}, body "no"`,
    );
  }
  host.answer("GET", URL, { status: 304 });
  assert.equal(http.get(URL).raiseForStatus().status, 304);
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

test("pages by link, by token and by number", () => {
  const host = new Host();
  const pages = (how) => Array.from(http.pages(URL + "/list", how), (page) => page.json());
  const link = `<${URL}/list>; rel="prev", </list?page=2>; title="x, y"; rel="last next"`;
  host.answer("GET", URL + "/list?q=1", { json: [1], headers: { Link: link } });
  host.answer("GET", URL + "/list?page=2", { json: [2] });
  assert.deepEqual(pages({ params: { q: 1 } }), [[1], [2]]);
  host.answer("GET", URL + "/list?q=1", { json: { meta: { next: "t&" } } });
  host.answer("GET", URL + "/list?q=1&after=t%26", { json: { meta: {} } });
  assert.equal(pages({ params: { q: 1 }, next: http.nextToken("after", "meta.next") }).length, 2);
  host.answer("GET", URL + "/list", { json: [1] });
  host.answer("GET", URL + "/list?page=2", { json: [2] });
  host.answer("GET", URL + "/list?page=3", { json: [] });
  assert.deepEqual(pages({ next: http.nextNumber("page") }), [[1], [2], []]);
});

test("pages that lead astray", () => {
  const host = new Host();
  const pages = (how) => Array.from(http.pages(URL + "/list", how));
  host.answer("GET", URL + "/list", { headers: { link: "<https://evil.invalid/>; rel=next" } });
  assert.throws(() => pages(), /on another server/);
  host.answer("GET", URL + "/list", { headers: { link: "<//evil.invalid/>; rel=next" } });
  assert.throws(() => pages(), /on another server/);
  host.answer("GET", URL + "/list", { headers: { link: "</list>; rel=next" } });
  assert.throws(() => pages(), /names itself/);
  host.answer("GET", URL + "/list", () => ({ json: { n: host.requests.length } }));
  assert.throws(() => pages({ next: http.nextToken("n", "n"), pagesMax: 5 }), /more than 5 pages \(pagesMax\)/);
});

test("links are resolved as a browser resolves them", () => {
  const host = new Host();
  const base = URL + "/a/b?c=d";
  for (const link of ["/x?y=1", "?y=2", "z", `${URL}:443/w`]) {
    const expected = new globalThis.URL(link, base).href;
    host.answer("GET", base, { headers: { link: `<${link}>; rel="next"` } });
    host.requests.length = 0;
    try {
      Array.from(http.pages(base));
    } catch {
      // There is no answer there.
    }
    assert.equal(new globalThis.URL(host.requests[1].url).href, expected);
  }
});

test("the manifest is whole and has what the host reads", () => {
  const manifest = {
    name: "test",
    version: "1.2.3",
    models: [THINGS],
    network: [sdk.NetworkRule.https("*.example.com", { port: 8443 }), sdk.NetworkRule.config("/url")],
    credentials: { token: "Reads" },
  };
  const schema = JSON.parse(readFileSync(new globalThis.URL("../../../wit/schemas/manifest.json", import.meta.url), "utf8"));
  const document = manifestDocument(manifest);
  assert.deepEqual(Object.keys(document).sort(), Object.keys(schema.properties).sort());
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

test("the README shows the template", () => {
  const read = (path) => readFileSync(new globalThis.URL(path, import.meta.url), "utf8");
  const app = read("../template/src/app.js").replaceAll("{{name}}", "my-issues").replaceAll("{{title}}", "My issues");
  assert.ok(read("../README.md").includes(app), "copy template/src/app.js into README.md");
});
