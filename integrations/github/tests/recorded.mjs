// Holds the integration's GraphQL queries against GitHub's own schema, and lays out what others have recorded of GitHub for the
// tests that are marked as ignored. Called by scripts/test-github.sh, with the folder in which the packages are installed:
//   node recorded.mjs lay-out FOLDER    writes FOLDER/webhooks.json and FOLDER/recordings.json
//   node recorded.mjs validate FOLDER   reads FOLDER/queries.json, which the tests have written
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [, , what, given] = process.argv;
const folder = resolve(given);
// What a package has and does not export is read where it lies.
const read = (path) => readFileSync(join(folder, "node_modules", path), "utf8");
const load = createRequire(join(folder, "package.json"));
const EVENTS = ["ping", "push", "issues", "issue_comment", "pull_request", "pull_request_review", "pull_request_review_comment"];
const SCENARIOS = ["paginate-issues", "errors", "rename-repository"];

async function layOut() {
  // It is a module, and may only be imported: by its path, because it is not installed beside this file.
  const { sign } = await import(pathToFileURL(join(folder, "node_modules/@octokit/webhooks-methods/dist-node/index.js")).href);
  const secret = "what the tests sign with";
  const webhooks = [];
  for (const { name, examples } of load("@octokit/webhooks-examples")) {
    if (!EVENTS.includes(name)) continue;
    for (const example of examples) {
      const body = JSON.stringify(example);
      webhooks.push({ event: name, body, signature: await sign(secret, body) });
    }
  }
  writeFileSync(join(folder, "webhooks.json"), JSON.stringify({ secret, webhooks }));
  const scenario = (name) => load(`@octokit/fixtures/scenarios/api.github.com/${name}/normalized-fixture.json`);
  writeFileSync(join(folder, "recordings.json"), JSON.stringify(Object.fromEntries(SCENARIOS.map((name) => [name, scenario(name)]))));
}

function validateQueries() {
  const { buildSchema, parse, validate } = load("graphql");
  const sdl = read("@octokit/graphql-schema/schema.graphql");
  // The published text has a field twice, which the reader would refuse.
  const schema = buildSchema(sdl, { assumeValidSDL: true });
  const queries = Object.entries(JSON.parse(readFileSync(join(folder, "queries.json"), "utf8")));
  let wrong = 0;
  for (const [name, query] of queries) {
    for (const error of validate(schema, parse(query))) {
      console.error(`${name}: ${error.message}`);
      wrong += 1;
    }
  }
  if (queries.length < 10) throw new Error(`only ${queries.length} queries; does the test still write them?`);
  console.log(`${queries.length} queries are held against the schema of ${JSON.parse(read("@octokit/graphql-schema/package.json")).version}`);
  process.exitCode = wrong ? 1 : 0;
}

await (what === "validate" ? validateQueries() : layOut());
