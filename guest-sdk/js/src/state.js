// A small store for this integration; becomes durable with the next `done` or `checkpoint` of any session.
import { call, fromJson, host, text, toJson } from "./host.js";

export function get(key) {
  return call(() => host.state.get(text(key, "a key"))) ?? null;
}

export function getJson(key, otherwise = null) {
  const value = get(key);
  return value === null ? otherwise : fromJson(value, `the value of ${key}`);
}

export function set(key, value, { expiresSecs } = {}) {
  call(() => host.state.set(text(key, "a key"), text(value, `the value of ${key}`), expiresSecs));
}

export function setJson(key, value, options) {
  set(key, toJson(value, `the value of ${key}`), options);
}

export { remove as delete };

function remove(key) {
  call(() => host.state.delete(text(key, "a key")));
}
