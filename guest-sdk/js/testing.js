// A stand-in for the host, so that an integration's tests run natively under Node: `node --test`. It keeps the contract's
// promises where a test sees them: only what is committed counts, cursors are given back to the next export, and are held back
// by what was rolled back. It does not check the manifest, grants or limits, and suppresses no unchanged records: for these
// there is `agent export`.
import { Conflict, HttpError } from "./src/errors.js";
import { host } from "./src/host.js";
import { Webhook } from "./src/documents.js";
import { decode, encode } from "./src/utf8.js";
import { Run } from "./src/session.js";
import { authorsOf, offered } from "./src/entry.js";

export class Host {
  /** Committed records by model; committed cursors by session path; what was skipped, and why, by session path. */
  records = {};
  cursors = {};
  skipped = {};
  /** Paths of sessions that were rolled back, repositories whose export was committed, the state's values. */
  rolledBack = [];
  repos = [];
  state = {};
  /** Requests in order, with their body as text; lines of the log, as level and message. */
  requests = [];
  log = [];
  /** What `shouldStop` answers. */
  stop = false;
  #answers = [];
  open = new Map();

  constructor() {
    const standIn = this;
    class Pending {
      constructor(request) {
        this.request = request;
      }
      static take(pending) {
        return standIn.#send(pending.request);
      }
    }
    Object.assign(host, {
      session: {
        rootModel: (model) => new RawSession(this, null, model, model),
        rootTracking: (name) => new RawSession(this, null, name, null),
        Session: RawSession,
      },
      http: {
        Pending,
        send: (request) => this.#send(request),
        submit: (request) => new Pending(request),
        waitAny: (pendings) => pendings.map((_, index) => index),
      },
      log: { log: (level, message) => this.log.push([level, message]) },
      state: {
        get: (key) => this.state[key],
        set: (key, value) => void (this.state[key] = value),
        delete: (key) => void delete this.state[key],
      },
      git: { exportRepo: (session, repo) => session.repos.push(JSON.parse(repo)) },
      oauth: { refresh() {} },
      control: { pause() {}, resume() {}, webhookUrl: () => "https://agent.invalid/webhook" },
    });
  }

  /** Answers requests of this method whose URL, without its query unless `url` has one, is this one. A later answer goes
   * before an earlier one. `answer` is `{ json, body, status, headers }`, or a function that makes it from the request. */
  answer(method, url, answer) {
    this.#answers.unshift({ method, url, answer });
  }

  /** Runs an export. Returns what it said of its parts; what it throws is thrown. */
  export(integration, config) {
    const run = new Run();
    try {
      offered(authorsOf(integration), "export").export(run, config);
    } finally {
      for (const session of [...this.open.values()]) session.end(true);
    }
    return run.projects;
  }

  validateConfig(integration, config) {
    return authorsOf(integration).validateConfig?.(config) ?? {};
  }

  onboard(integration, kind, config) {
    return Array.from(offered(authorsOf(integration), "onboard").onboard(kind, config));
  }

  mutate(integration, name, data, config) {
    return offered(authorsOf(integration), "mutate").mutate(name, data, config);
  }

  webhook(integration, body, config, headers = {}) {
    const bytes = body instanceof Uint8Array ? body : encode(JSON.stringify(body));
    return offered(authorsOf(integration), "webhook").webhook(new Webhook(Object.entries(headers), bytes), config);
  }

  #send(request) {
    const seen = { ...request, body: request.body && decode(request.body) };
    this.requests.push(seen);
    const [path] = request.url.split("?");
    const found = this.#answers.find(({ method, url }) => method === request.method && (url === request.url || url === path));
    if (!found) {
      const message = `this test has no answer for ${request.method} ${request.url}; give one with host.answer(…)`;
      throw new HttpError("denied", message, "denied");
    }
    const made = typeof found.answer === "function" ? found.answer(seen) : found.answer;
    const { status = 200, json, body = json === undefined ? "" : JSON.stringify(json), headers = {} } = made;
    const fields = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
    return { status, url: request.url, headers: fields, body: encode(body) };
  }
}

/** A session as the host keeps it. */
class RawSession {
  staged = [];
  repos = [];
  heldBack = false;

  constructor(host, parent, path, ofModel) {
    if (host.open.has(path)) throw new Conflict(`a session is already open at \`${path}\``);
    Object.assign(this, { host, parent, path, ofModel });
    host.open.set(path, this);
  }

  lastProcessed() {
    return this.host.cursors[this.path];
  }

  model(model, objectId) {
    return new RawSession(this.host, this, `${this.path}/${objectId}/${model}`, model);
  }

  tracking(name, objectId) {
    return new RawSession(this.host, this, `${this.path}/${objectId}/${name}`, null);
  }

  shouldStop() {
    return this.host.stop;
  }

  progress() {}

  send(bytes) {
    return this.sendText(decode(bytes));
  }

  sendText(ndjson) {
    if (this.ofModel === null) throw new Conflict(`\`${this.path}\` is a tracking session and takes no records`);
    const records = ndjson.split("\n").map((line) => JSON.parse(line));
    this.staged.push(...records);
    return { accepted: records.length, unchanged: 0 };
  }

  checkpoint(cursor) {
    if (this.ofModel !== null) (this.host.records[this.ofModel] ??= []).push(...this.staged);
    this.host.repos.push(...this.repos);
    this.staged = [];
    this.repos = [];
    if (cursor !== undefined && !this.heldBack) this.host.cursors[this.path] = cursor;
  }

  children() {
    return [...this.host.open.values()].filter((session) => session.parent === this);
  }

  static done(session, cursor) {
    if (session.children().length > 0) {
      session.end(true);
      throw new Conflict(`\`${session.path}\` has open children; end them first`);
    }
    session.checkpoint(cursor);
    session.host.open.delete(session.path);
    const { path, heldBack } = session;
    return JSON.stringify({ path, cursor: session.host.cursors[path] ?? null, held_back: heldBack });
  }

  static rollback(session) {
    session.end(true);
  }

  static skip(session, why) {
    session.host.skipped[session.path] = why;
    session.end(false);
  }

  end(holdBack) {
    for (const child of this.children()) child.end(holdBack);
    if (!this.host.open.delete(this.path) || !holdBack) return;
    this.host.rolledBack.push(this.path);
    for (let above = this.parent; above !== null; above = above.parent) above.heldBack = true;
  }
}
