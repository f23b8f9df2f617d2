// Holds the integration's GraphQL queries against GitHub's own schema, and lays out what others have recorded of GitHub for the
// tests that are marked as ignored. Called by scripts/test-github.sh, with the folder in which the packages are installed:
//   node recorded.mjs describe FOLDER   writes FOLDER/openapi.json: of GitHub's description of its REST API what is asked for
//   node recorded.mjs port              prints a port that is free
//   node recorded.mjs lay-out FOLDER    writes FOLDER/webhooks.json and FOLDER/recordings.json
//   node recorded.mjs validate FOLDER   reads FOLDER/queries.json, which the tests have written
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join, resolve } from "node:path";

const [, , what, given] = process.argv;
const folder = resolve(given ?? ".");
// What a package has and does not export is read where it lies.
const read = (path) => readFileSync(join(folder, "node_modules", path), "utf8");
const load = createRequire(join(folder, "package.json"));
const EVENTS = ["ping", "push", "issues", "issue_comment", "pull_request", "pull_request_review", "pull_request_review_comment"];
const SCENARIOS = ["paginate-issues", "errors", "rename-repository"];

const REST = [
  "/orgs/{org}/hooks",
  "/repos/{owner}/{repo}/hooks",
  "/repos/{owner}/{repo}/pulls/comments",
  "/repos/{owner}/{repo}/pulls/{pull_number}",
  "/repos/{owner}/{repo}/issues/{issue_number}/comments",
];

// The server takes the number of a repository where owner and name stand, and only does not say so in its description.
function byNumber(path, methods) {
  const id = { name: "repository_id", in: "path", required: true, schema: { type: "integer" } };
  const named = ({ name, in: place }) => place === "path" && ["owner", "repo"].includes(name);
  const changed = Object.entries(methods).map(([method, operation]) => {
    const parameters = [id, ...operation.parameters.filter((parameter) => !named(parameter))];
    return [method, { ...operation, operationId: `${operation.operationId}-by-number`, parameters }];
  });
  return [path.replace("/repos/{owner}/{repo}/", "/repositories/{repository_id}/"), Object.fromEntries(changed)];
}

function describe() {
  const { openapi, info, paths } = JSON.parse(read("@octokit/openapi/generated/ghes-3.19.deref.json"));
  const wanted = REST.map((path) => {
    if (!paths[path]) throw new Error(`the description has no ${path} any more`);
    return [path, paths[path]];
  });
  const all = [...wanted, ...wanted.filter(([path]) => path.startsWith("/repos/")).map(([path, methods]) => byNumber(path, methods))];
  writeFileSync(join(folder, "openapi.json"), JSON.stringify({ openapi, info, paths: Object.fromEntries(all) }));
}

function port() {
  const server = createServer().listen(0, "127.0.0.1", () => {
    console.log(server.address().port);
    server.close();
  });
}

async function layOut() {
  const webhooks = [];
  for (const { name, examples } of load("@octokit/webhooks-examples")) {
    if (!EVENTS.includes(name)) continue;
    for (const example of examples) {
      webhooks.push({ event: name, body: JSON.stringify(example) });
    }
  }
  writeFileSync(join(folder, "webhooks.json"), JSON.stringify({ webhooks }));
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

await { describe, port, validate: validateQueries, "lay-out": layOut }[what]();
