// What authors take for granted and QuickJS does not have, or has in a form that does not suit a snapshot: `console`, which
// writes to the integration's log, and a `Math.random` that differs from instance to instance.
import { INSIDE, shown } from "./host.js";
import * as log from "./log.js";

if (INSIDE) {
  const write = (level) => (...parts) => level(parts.map(shown).join(" "));
  globalThis.console = {
    error: write(log.error),
    warn: write(log.warn),
    info: write(log.info),
    log: write(log.info),
    debug: write(log.debug),
    trace: write(log.trace),
  };
  Math.random = random;
}

// The component is a snapshot of the engine after this file has run. The engine's generator is in it with its seed, so
// that each instance would draw the same numbers. Ours (xorshift128) takes its seed at the first draw, from the clocks. It
// is for jitter and sampling, and not for secrets, as `Math.random` never is.
let drawn;

function random() {
  drawn ??= Uint32Array.of(Date.now(), Date.now() / 2 ** 32, (globalThis.performance?.now() ?? 0) * 1e6, 0x9e3779b9);
  // The first draws still show the seed.
  if (drawn[3] === 0x9e3779b9) for (let i = 0; i < 16; i++) next();
  return (next() * 2 ** 21 + (next() >>> 11)) / 2 ** 53;
}

function next() {
  let t = drawn[3];
  const s = drawn[0];
  drawn[3] = drawn[2];
  drawn[2] = drawn[1];
  drawn[1] = s;
  t ^= t << 11;
  t ^= t >>> 8;
  drawn[0] = t ^ s ^ (s >>> 19);
  return drawn[0];
}
