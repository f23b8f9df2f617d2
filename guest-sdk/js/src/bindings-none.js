// Under Node there is no host: what a test puts here (see testing.js) stands for it, and any other use is a mistake.
export const INSIDE = false;
export const bindings = {};

for (const name of ["control", "git", "http", "log", "oauth", "session", "state"]) {
  bindings[name] = new Proxy(
    {},
    {
      get(_, property) {
        throw new Error(
          `host call ${name}.${String(property)} outside of a component; in a test, use Host of agent-sdk/testing`,
        );
      },
    },
  );
}
