// Lines for the log of this integration. The host cuts a message at 4,096 bytes, and takes 32 fields of 64 bytes' name and
// 1,024 bytes' value. A stack becomes a line each, as it would stand on a terminal.
import { host, shown } from "./host.js";

export const error = (message, fields) => write("error", message, fields);
export const warn = (message, fields) => write("warn", message, fields);
export const info = (message, fields) => write("info", message, fields);
export const debug = (message, fields) => write("debug", message, fields);
export const trace = (message, fields) => write("trace", message, fields);

function write(level, message, fields = {}) {
  const pairs = Object.entries(fields).map(([name, value]) => [shown(name), shown(value)]);
  for (const line of shown(message).replace(/\n$/, "").split("\n")) host.log.log(level, line, pairs);
}
