// Tests of {{title}}, natively: `npm test`.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Unauthenticated } from "agent-sdk";
import { Host } from "agent-sdk/testing";
import { integration } from "../src/app.js";

const LIST = "https://api.github.com/repos/some/repo/issues";
const CONFIG = { repo: "some/repo" };

const issue = (id, at) => ({ id, title: `Issue ${id}`, state: "open", user: null, updated_at: at });

test("page by page, and then only what is new", () => {
  const host = new Host();
  host.answer("GET", LIST, { json: [issue(1, "2026-01-02T00:00:00Z")], headers: { link: `<${LIST}?page=2>; rel="next"` } });
  host.answer("GET", LIST + "?page=2", { json: [issue(2, "2026-01-01T00:00:00Z")] });
  host.export(integration, CONFIG);
  assert.deepEqual(
    host.records["{{name}}.Issue"].map((record) => record.ref_id),
    ["1", "2"],
  );
  assert.deepEqual(host.cursors, { "{{name}}.Issue": "2026-01-02T00:00:00Z" });

  host.answer("GET", LIST, { json: [] });
  host.export(integration, CONFIG);
  assert.match(host.requests.at(-1).url, /since=2026-01-02T00%3A00%3A00Z/);
});

test("a failure commits nothing", () => {
  const host = new Host();
  host.answer("GET", LIST, { status: 503 });
  assert.throws(() => host.export(integration, CONFIG), /answered 503/);
  assert.deepEqual([host.records, host.cursors], [{}, {}]);
});

test("a refusal says what to do", () => {
  const host = new Host();
  host.answer("GET", LIST, { status: 401 });
  assert.throws(() => host.export(integration, CONFIG), (error) => {
    assert.match(error.message, /grant a credential/);
    return error instanceof Unauthenticated;
  });
});

test("a repository that is not there", () => {
  const host = new Host();
  host.answer("GET", LIST.replace("/issues", ""), { status: 404 });
  assert.match(host.validateConfig(integration, CONFIG).errors[0].message, /answered 404/);
});
