// What may go wrong in an integration, each under a name that tests/languages.rs gives in the configuration.
import { Denied, http, paging } from "agent-sdk";

export const FAULTS = {
  // The first page is committed; the second breaks.
  "two-pages"(run) {
    run.model("tracker.Issue").run((session) => {
      session.send({ ref_id: "kept" });
      session.checkpoint("1");
      session.send({ ref_id: "forgotten" });
      rename(null);
    });
  },
  "leaves-a-session"(run) {
    run.model("tracker.Issue").run((session) => session.send({ ref_id: "1" }));
  },
  "half-a-surrogate"(run) {
    run.model("tracker.Issue").run((session) => {
      session.send({ ref_id: "1" });
      session.send({ ref_id: "2", title: "\ud800" });
      session.done();
    });
  },
  "no-key"(run) {
    run.model("tracker.Issue").run((session) => {
      session.send({ ref_id: "1" });
      session.send({ title: "without a key" });
      session.done();
    });
  },
  "not-json"(run) {
    run.model("tracker.Issue").run((session) => session.send({ ref_id: "1", at: 1n }));
  },
  "undeclared-model"(run) {
    run.model("tracker.Undeclared");
  },
  denied() {
    try {
      http.get("https://denied.invalid/");
    } catch (error) {
      if (error instanceof Denied) console.log("this is seen as what it is");
      throw error;
    }
  },
  unauthorized(run, config) {
    http.get(config.url + "/projects").raiseForStatus();
  },
  missing(run, config) {
    http.get(config.url + "/missing", { auth: "token" }).raiseForStatus();
  },
  "another-server"(run, config) {
    Array.from(paging.link(config.url + "/away", { auth: "token" }));
  },
  memory() {
    const held = [];
    for (;;) held.push(new Uint8Array(1 << 20));
  },
  recursion(run, config) {
    return FAULTS.recursion(run, config) + 1;
  },
  loop() {
    for (;;);
  },
  async leaves() {
    await null;
  },
  // Whatever differs from run to run.
  clocks(run) {
    run.model("tracker.Issue").run((session) => {
      session.send({ ref_id: String(Math.random()), title: "drawn", updated_at: "2026-11-21T09:30:00Z" });
      session.done(Math.floor(Date.now() / 1000));
    });
    console.log("half a line");
  },
};

function rename(issue) {
  return issue.title.toUpperCase();
}
