// What mutations and webhooks take and return (`wit/schemas/mutate-result.json`).
import { Invalid } from "./errors.js";
import { decode } from "./utf8.js";

/** What a mutation or a webhook changed. */
export class MutateResult {
  constructor(response) {
    this.response = response;
    this.changed = {};
  }

  /** Adds a record that changed, in the form in which an export sends it. */
  mutated(model, record) {
    (this.changed[model.name ?? model] ??= []).push(record);
    return this;
  }

  toJSON() {
    const document = Object.keys(this.changed).length > 0 ? { mutated: this.changed } : {};
    if (this.response !== undefined) document.response = this.response;
    return document;
  }
}

/** A webhook, its signature checked. */
export class Webhook {
  constructor(headers, body) {
    this.headers = headers;
    this.body = body;
  }

  header(name) {
    return headerFind(this.headers, name);
  }

  get text() {
    return decode(this.body);
  }

  json() {
    try {
      return JSON.parse(this.text);
    } catch (error) {
      throw new Invalid(`the webhook's body is not JSON: ${error.message}`);
    }
  }
}

/** The first header field of this name; capitals do not matter. */
export function headerFind(headers, name) {
  const lower = name.toLowerCase();
  return headers.find(([header]) => header.toLowerCase() === lower)?.[1] ?? null;
}
