// From the contract's exports to the author's integration: reads what comes in, writes what goes out, translates errors,
// and sees to it that a stack is in the log.
import { AgentError, NotSupported, sentence } from "./errors.js";
import { fromJson, INSIDE, shown, text, toJson } from "./host.js";
import { Webhook } from "./documents.js";
import { manifestDocument } from "./manifest.js";
import { Run } from "./session.js";
import * as log from "./log.js";

// The contract's cases that each kind of call knows; anything else is `other`.
const ERROR = ["denied", "invalid", "limit", "conflict", "unavailable"];
const ONBOARD = ["not-supported"];
const MUTATE = ["not-supported", "not-found", "invalid"];

// Lines of a stack that are worth reading; endless recursion has thousands, all alike.
const STACK_LINES_MAX = 40;

const CALLS = ["validateConfig", "onboard", "export", "mutate", "webhook"];

/** What a component exports for this integration: `export const integration = component({…})`. */
export function component(integration) {
  const unknown = Object.keys(integration).filter((name) => name !== "manifest" && !CALLS.includes(name));
  if (unknown.length > 0) {
    throw new TypeError(`component() knows no ${unknown.join(", ")}; it knows manifest, ${CALLS.join(", ")}`);
  }
  if (!integration.manifest) throw new TypeError("component() needs a manifest");
  // Told when the component is built, and not on the first run.
  const manifest = toJson(manifestDocument(integration.manifest), "the manifest");
  const config = (json) => fromJson(json, "the configuration");
  const world = {
    describe: () => manifest,
    validateConfig: (json) =>
      guarded(ERROR, () => {
        const result = integration.validateConfig?.(config(json));
        const { errors: found = [], serverVersion, repoUrl } = settled(result) ?? {};
        // As an error goes out of a call, with its case before it.
        const errors = Array.from(found, (one) => (one instanceof Error ? sentence(one) : one));
        return { ok: errors.length === 0, errors, server_version: serverVersion, repo_url: repoUrl };
      }),
    onboardExport: (kind, json) =>
      guarded(ONBOARD, () => Array.from(offered(integration, "onboard", `onboarding data \`${kind}\``).onboard(kind, config(json)))),
    export: (json) =>
      guarded(ERROR, () => {
        const run = new Run();
        const returned = offered(integration, "export", "this integration exports nothing").export(run, config(json));
        settled(returned);
        return run.projects.length > 0 ? { projects: run.projects } : {};
      }),
    mutate: (name, data, json) =>
      guarded(MUTATE, () => {
        const asked = fromJson(data, "the mutation's data");
        return offered(integration, "mutate", `mutation \`${name}\``).mutate(name, asked, config(json)) ?? {};
      }),
    webhook: (headers, body, json) =>
      guarded(ERROR, () => {
        const webhook = new Webhook(headers, body);
        return offered(integration, "webhook", "this integration takes no webhooks").webhook(webhook, config(json)) ?? {};
      }),
  };
  AUTHORS.set(world, integration);
  return world;
}

// What each component was made of, for tests.
const AUTHORS = new WeakMap();

/** The author's object of a component. */
export function authorsOf(world) {
  return AUTHORS.get(world) ?? world;
}

/** The integration, if it has this call. */
export function offered(integration, call, what = `\`${call}\``) {
  if (typeof integration[call] !== "function") throw new NotSupported(what);
  return integration;
}

function guarded(cases, work) {
  try {
    return text(toJson(settled(work()), "the result"), "the result");
  } catch (error) {
    throw refusal(cases, error);
  }
}

// Calls are synchronous: a promise would be a result that is not there yet.
function settled(result) {
  if (typeof result?.then === "function") {
    throw new TypeError("the call returned a promise; every call of the host is synchronous: leave out async and await");
  }
  return result;
}

/** What to throw so that the contract's error comes of it. */
function refusal(cases, error) {
  if (outOfMemory(error) || !INSIDE) return error;
  if (error instanceof AgentError) {
    log.debug(`the call ended with an error: ${error.stack ?? ""}`);
    if (error.tag === "not-supported" && cases.includes(error.tag)) return { tag: error.tag };
    if (cases.includes(error.tag)) return { tag: error.tag, val: shown(error.message) };
    return { tag: "other", val: shown(sentence(error)) };
  }
  const lines = shown(error).replace(/\n$/, "").split("\n");
  const left = lines.length - STACK_LINES_MAX;
  log.error(lines.slice(0, STACK_LINES_MAX).join("\n") + (left > 0 ? `\n… and ${left} lines more` : ""));
  return { tag: "other", val: shown(String(error) + place(error)) };
}

// The host knows which limit was met if the instance ends here.
function outOfMemory(error) {
  // QuickJS throws an error, StarlingMonkey a text.
  return error === "out of memory" || (error?.name === "InternalError" && /out of memory/.test(error.message));
}

/** Where in the author's code it happened: the first line of the stack that is not of this package. */
function place(error) {
  const lines = String(error?.stack ?? "").split("\n");
  const line = lines.map((one) => one.trim()).find((one) => /\.[a-z]+:\d+/.test(one) && !one.includes("agent-sdk/"));
  return line ? ` (${line})` : "";
}
