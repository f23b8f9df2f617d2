// Export sessions: nested, batched, and ended in so many words. `done` commits, `rollback` forgets, `skip` leaves out for
// good. `session.run(work)` rolls back when `work` throws, and takes it for a mistake when `work` returns and has not ended
// the session; `using session = …` rolls back whatever was not ended.
import { Conflict, Invalid, sentence } from "./errors.js";
import { call, fromJson, host, shown, text, toJson } from "./host.js";
import { encode } from "./utf8.js";

// Characters at which a batch is sent: in the middle of the 256 KiB to 1 MiB that suit the host best. At the worst, three
// bytes each, it is still far from the host's 16 MiB.
const BATCH_CHARS = 512 << 10;

// Text is the quick way out of QuickJS and the slow way out of StarlingMonkey, which makes bytes quickly, having an encoder.
const AS_BYTES = typeof globalThis.TextEncoder === "function";

// How to open a session and where it is; made here only.
function open(raw, path) {
  const session = new Session();
  session.raw = raw;
  session.path = path;
  return session;
}

const nameOf = (model, what) => text(typeof model === "object" && model !== null ? model.name : model, what);

export class Session {
  raw = null;
  path = "";
  #batch = "";
  #sent = { accepted: 0, unchanged: 0 };

  model(model, objectId, objectName = "") {
    const name = nameOf(model, "the name of a model");
    const id = text(objectId, "the id of an object");
    const raw = call(() => this.#open().model(name, id, shown(objectName)));
    return open(raw, `${this.path}/${id}/${name}`);
  }

  tracking(name, objectId, objectName = "") {
    const id = text(objectId, "the id of an object");
    const raw = call(() => this.#open().tracking(text(name, "the name of a session"), id, shown(objectName)));
    return open(raw, `${this.path}/${id}/${name}`);
  }

  send(record) {
    const line = toJson(record, `a record of ${this.path}`);
    this.#batch += this.#batch === "" ? line : "\n" + line;
    if (this.#batch.length >= BATCH_CHARS) this.flush();
  }

  sendAll(records) {
    for (const record of records) this.send(record);
  }

  flush() {
    const raw = this.#open();
    if (this.#batch === "") return;
    const ack = call(() => (AS_BYTES ? raw.send(encode(this.#batch)) : raw.sendText(this.#batch)));
    this.#sent.accepted += ack.accepted;
    this.#sent.unchanged += ack.unchanged;
    this.#batch = "";
  }

  get sent() {
    return { ...this.#sent };
  }

  get lastProcessed() {
    return this.#open().lastProcessed() ?? null;
  }

  shouldStop() {
    return this.#open().shouldStop();
  }

  progress(current, total) {
    this.#open().progress(count(current, "current"), total === undefined ? undefined : count(total, "total"));
  }

  checkpoint(cursor) {
    const at = text(cursor, "a cursor");
    this.flush();
    call(() => this.#open().checkpoint(at));
  }

  done(cursor) {
    const at = cursor === undefined || cursor === null ? undefined : text(cursor, "a cursor");
    this.flush();
    const raw = this.#take();
    return fromJson(
      call(() => host.session.Session.done(raw, at)),
      "the summary of a session",
    );
  }

  rollback() {
    host.session.Session.rollback(this.#take());
  }

  skip(why) {
    host.session.Session.skip(this.#take(), shown(why));
  }

  get ended() {
    return this.raw === null;
  }

  run(work) {
    let result;
    try {
      result = work(this);
    } catch (error) {
      if (!this.ended) this.rollback();
      throw error;
    }
    if (this.ended) return result;
    this.rollback();
    throw new Conflict(
      typeof result?.then === "function"
        ? `the work of the session ${this.path} is asynchronous, and there is nothing to wait for here: leave out async`
        : `the work of the session ${this.path} returned without an end, so that the session was rolled back; ` +
            `call done(cursor) as its last line, or rollback(), or skip(why)`,
    );
  }

  [Symbol.dispose ?? Symbol.for("Symbol.dispose")]() {
    if (!this.ended) this.rollback();
  }

  #open() {
    if (this.raw === null) throw new Conflict(`the session ${this.path} has ended already`);
    return this.raw;
  }

  #take() {
    const raw = this.#open();
    this.raw = null;
    this.#batch = "";
    return raw;
  }
}

// The bindings take a number for what it is not and end the instance where it does not fit.
function count(value, what) {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) return value;
  throw new Invalid(`${what} of progress is ${value}; it is to be a whole number from 0`);
}

/** One export: opens the sessions at the top of the tree, and gathers what became of the source's parts. */
export class Run {
  projects = [];

  model(model) {
    const name = nameOf(model, "the name of a model");
    return open(
      call(() => host.session.rootModel(name)),
      name,
    );
  }

  tracking(name) {
    return open(
      call(() => host.session.rootTracking(text(name, "the name of a session"))),
      name,
    );
  }

  exported(refId, name = "") {
    this.projects.push({ ref_id: text(refId, "refId"), ...(name && { name: shown(name) }) });
  }

  failed(refId, name, error) {
    const said = shown(error instanceof Error ? sentence(error) : error) || "failed";
    this.projects.push({ ref_id: text(refId, "refId"), ...(name && { name: shown(name) }), error: said });
  }
}
