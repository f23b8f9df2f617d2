// What the operator should know about the run.
import { call, host, shown, text } from "./host.js";

export function pause(until, why) {
  const time = until instanceof Date ? until.toISOString() : text(until, "the time");
  call(() => host.control.pause(time, shown(why)));
}

export function resume() {
  host.control.resume();
}

export function webhookUrl() {
  return host.control.webhookUrl() ?? null;
}
