// An integration of the tracker that tests/languages.rs serves: projects, their issues page by page with a cursor each,
// labels several at a time, and every other call. tests/guests-python/tracker is the same in Python; one test judges both.
import { component, http, log, Model, MutateResult, NetworkRule, NotSupported, paging, Unauthenticated } from "agent-sdk";
import { FAULTS } from "./faults.js";

const PROJECTS = new Model("tracker.Project");
const ISSUES = new Model("tracker.Issue", {
  schema: { type: "object", required: ["ref_id", "title", "updated_at"] },
});

export const integration = component({
  manifest: {
    name: "tracker",
    version: "1.2.3",
    description: "Issues of a tracker",
    config: {
      type: "object",
      required: ["url"],
      properties: { url: { type: "string" }, fault: { enum: Object.keys(FAULTS) }, records: { type: "integer" } },
    },
    models: [PROJECTS, ISSUES],
    onboard: ["projects", "users"],
    mutations: ["issue.rename", "issue.close"],
    webhookEvents: ["issue", "ping"],
    webhookEventHeader: "X-Event",
    network: [NetworkRule.config("/url", { methods: ["GET", "PATCH"] })],
    credentials: { token: "Reads and changes issues" },
  },

  validateConfig(config) {
    try {
      const answer = http.get(config.url + "/version", { auth: "token" }).raiseForStatus();
      return { serverVersion: answer.json().version };
    } catch (error) {
      if (error instanceof Unauthenticated) return { errors: [error] };
      throw error;
    }
  },

  *onboard(kind, config) {
    if (kind !== "projects") throw new NotSupported(`onboarding data \`${kind}\``);
    for (const { id, name } of projects(config)) yield { ref_id: String(id), name };
  },

  export(run, config) {
    if (config.records !== undefined) return flood(run, config.records);
    if (config.fault !== undefined) return FAULTS[config.fault](run, config);
    run.tracking("tracker").run((top) => {
      const found = projects(config);
      top.model(PROJECTS, "all").run((session) => {
        session.sendAll(found.map(({ id, name }) => ({ ref_id: String(id), name })));
        session.done();
      });
      for (const [at, project] of found.entries()) {
        top.progress(at, found.length);
        top.model(ISSUES, project.id, project.name).run((session) => exportIssues(session, project, config));
        run.exported(project.id, project.name);
      }
      top.done();
    });
  },

  mutate(name, data, config) {
    if (name !== "issue.rename") throw new NotSupported(`mutation \`${name}\``);
    const answer = http.patch(`${config.url}/issues/${data.id}`, { json: { title: data.title }, auth: "token" });
    const issue = answer.raiseForStatus().json();
    return new MutateResult({ renamed: issue.id }).mutated(ISSUES, record(issue, []));
  },

  webhook(webhook) {
    if (webhook.header("X-Event") !== "issue") return new MutateResult();
    return new MutateResult().mutated(ISSUES, record(webhook.json().issue, []));
  },
});

/** The server names the next page in a header field. */
function projects(config) {
  return Array.from(paging.link(config.url + "/projects", { auth: "token" })).flatMap((page) => page.items);
}

/** Oldest change first; each page is committed with the time of its last issue, and the next one begins after that: so an
 * issue that changes meanwhile comes again at the end, and shifts no other out of sight. */
function exportIssues(session, project, config) {
  const url = `${config.url}/projects/${project.id}/issues`;
  const changed = (issue) => issue.updated_at;
  for (const page of paging.keyset(url, "after", changed, { resume: session.lastProcessed, auth: "token" })) {
    const issues = page.items;
    const urls = issues.map((issue) => `${config.url}/issues/${issue.id}/labels`);
    const labels = http.getAll(urls, { auth: "token" });
    for (const issue of issues) session.send(record(issue, labels.next().value.raiseForStatus().json()));
    if (page.next !== null) session.checkpoint(page.next);
    log.info(`page of ${project.name} with ${issues.length} issues`, { logger: "tracker" });
    if (session.shouldStop()) break;
  }
  session.done();
}

function record(issue, labels) {
  return { ref_id: String(issue.id), title: issue.title, updated_at: issue.updated_at, labels };
}

/** For the benchmark: as many records as fast as it goes, like those of the mock integration. */
function flood(run, count) {
  run.model(ISSUES).run((session) => {
    const body = "some text of an issue's body, ".repeat(4);
    for (let i = 0; i < count; i++) {
      session.send({
        ref_id: String(i),
        title: `Issue ${i}`,
        updated_at: "2026-11-21T09:30:00Z",
        body,
        state: i % 3 ? "open" : "closed",
        number: i,
        labels: ["bug", "ui"],
      });
    }
    session.done();
  });
}
