// The door to the host. Other files say `host.session.rootModel(…)` through `call`, which turns the contract's errors into
// this package's; and they let no text through that cannot cross, because that would end the instance and not the call.
import { bindings, INSIDE } from "#bindings";
import { AgentError, fromHost, Invalid } from "./errors.js";

export { INSIDE };

// Under Node, a test replaces what stands in here.
export const host = INSIDE ? bindings : { ...bindings };

/** Calls the host; a refusal becomes an error of `errors.js`. */
export function call(work) {
  try {
    return work();
  } catch (error) {
    if (error instanceof AgentError) throw error;
    // The engines agree on where a refusal stands: in the error's `payload`.
    const refusal = error?.payload ?? error;
    if (typeof refusal?.tag === "string") throw fromHost(refusal);
    throw error;
  }
}

/** What goes to the host as text. Numbers are taken because sources give ids as numbers. */
export function text(value, what) {
  if (typeof value === "number" && Number.isFinite(value)) return String(value);
  if (typeof value !== "string") {
    throw new Invalid(`${what} is to be text, and is ${value === null ? "null" : typeof value}`);
  }
  if (!wellFormed(value)) {
    throw new Invalid(`${what} has half of a surrogate pair: ${JSON.stringify(value)}`);
  }
  return value;
}

/** Text for people, which must never fail: half of a surrogate pair is shown as the replacement character. */
export function shown(value) {
  const string = typeof value === "string" ? value : printed(value);
  return wellFormed(string) ? string : string.replace(LONE, "\ufffd");
}

const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function wellFormed(string) {
  return string.isWellFormed ? string.isWellFormed() : string.search(LONE) < 0;
}

function printed(value) {
  if (value instanceof Error) return value.stack ? `${value}\n${value.stack}` : String(value);
  if (typeof value === "object" && value !== null) {
    try {
      return JSON.stringify(value);
    } catch {
      return String(value);
    }
  }
  return String(value);
}

/** Writes a value as the host reads it. */
export function toJson(value, what) {
  let json;
  try {
    json = JSON.stringify(value);
  } catch (error) {
    throw new Invalid(`${what} cannot be written as JSON: ${error.message}`);
  }
  if (json === undefined) throw new Invalid(`${what} cannot be written as JSON: it is ${typeof value}`);
  return json;
}

/** Reads what came from the host. */
export function fromJson(json, what) {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new Invalid(`${what} is not JSON: ${error.message}`);
  }
}
