// {{title}}: exports the issues of a GitHub repository.
import { component, http, Model, NetworkRule, paging, StatusError } from "agent-sdk";

const ISSUES = new Model("{{name}}.Issue", {
  schema: {
    type: "object",
    required: ["ref_id", "title", "state"],
    properties: { ref_id: { type: "string" }, title: { type: "string" }, state: { enum: ["open", "closed"] } },
  },
});

export const integration = component({
  manifest: {
    name: "{{name}}",
    version: "0.1.0",
    description: "Issues of a GitHub repository",
    config: {
      type: "object",
      required: ["repo"],
      additionalProperties: false,
      properties: {
        repo: { type: "string", pattern: "^[^/]+/[^/]+$", description: "owner/name" },
        url: { type: "string", description: "Another server than github.com" },
        credential: { type: "string", description: "The credential to read with" },
      },
    },
    models: [ISSUES],
    network: [
      NetworkRule.https("api.github.com", { methods: ["GET"] }),
      NetworkRule.config("/url", { methods: ["GET"] }),
    ],
    credentials: { token: "Reads private repositories, and raises the rate limit" },
  },

  validateConfig(config) {
    try {
      http.get(repoUrl(config), { auth: config.credential }).raiseForStatus();
      return {};
    } catch (error) {
      if (error instanceof StatusError) return { errors: [error] };
      throw error;
    }
  },

  // What was updated since the last run, page by page. The list is sorted by what does not change, so that nothing moves
  // across its pages while they are read; therefore the cursor moves only at the end.
  export(run, config) {
    run.model(ISSUES).run((issues) => {
      const since = issues.lastProcessed;
      let newest = since ?? "";
      const params = { state: "all", sort: "created", direction: "asc", per_page: 100, since };
      for (const page of paging.link(repoUrl(config) + "/issues", { params, auth: config.credential })) {
        // What was read is kept; the cursor stays, and the next run leaves out what it has.
        if (issues.shouldStop()) return issues.done();
        for (const issue of page.items) {
          issues.send(record(issue));
          if (issue.updated_at > newest) newest = issue.updated_at;
        }
      }
      issues.done(newest || null);
    });
  },
});

function repoUrl({ url = "https://api.github.com", repo }) {
  return `${url}/repos/${repo}`;
}

// A record from what the server says. Do not put the time of the export into it, or it changes every time.
function record(issue) {
  return {
    ref_id: String(issue.id),
    title: issue.title,
    state: issue.state,
    author: issue.user?.login ?? null,
    updated_at: issue.updated_at,
  };
}
