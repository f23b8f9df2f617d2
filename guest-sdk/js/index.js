// Write an integration for the agent in JavaScript. This is what an author imports; `index.d.ts` describes all of it and
// `README.md` has a complete integration. Each subject has a file in `src`.
import "./src/globals.js";

export * as control from "./src/control.js";
export * as git from "./src/git.js";
export * as http from "./src/http.js";
export * as log from "./src/log.js";
export * as oauth from "./src/oauth.js";
export * as paging from "./src/paging.js";
export * as state from "./src/state.js";
export { component } from "./src/entry.js";
export {
  AgentError,
  Conflict,
  Denied,
  HttpError,
  Invalid,
  Limit,
  NotFound,
  NotSupported,
  PagingError,
  StatusError,
  Unauthenticated,
  Unavailable,
} from "./src/errors.js";
export { MutateResult, Webhook } from "./src/documents.js";
export { Model, NetworkRule } from "./src/manifest.js";
export { Run, Session } from "./src/session.js";
