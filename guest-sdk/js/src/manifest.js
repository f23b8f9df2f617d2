// The manifest: what an integration is, has and asks for (`wit/schemas/manifest.json`). The host checks it; here is only
// its form.

// The version of the manifest's form that this package writes.
const SCHEMA = 1;

/** A kind of record. */
export class Model {
  constructor(name, { schema = { type: "object" }, key = ["/ref_id"], dedup = true } = {}) {
    Object.assign(this, { name, schema, key, dedup });
  }
}

/** What a manifest asks to reach. */
export const NetworkRule = {
  https: (host, { port = 443, methods = [], path = "/" } = {}) => ({ scheme: "https", host, port, methods, path }),
  http: (host, { port = 80, methods = [], path = "/" } = {}) => ({ scheme: "http", host, port, methods, path }),
  config: (pointer, { methods = [], path = "/" } = {}) => ({ host: `{config:${pointer}}`, methods, path }),
};

const MEMBERS = [
  "name",
  "version",
  "description",
  "refType",
  "config",
  "models",
  "onboard",
  "mutations",
  "webhookEvents",
  "webhookEventHeader",
  "webhookSignature",
  "network",
  "credentials",
  "git",
];

/** The document that the host reads, from what an author writes. */
export function manifestDocument(manifest) {
  const unknown = Object.keys(manifest).filter((name) => !MEMBERS.includes(name));
  if (unknown.length > 0) {
    throw new TypeError(`the manifest has no member ${unknown.join(", ")}; it can have ${MEMBERS.join(", ")}`);
  }
  const { name, version, description = "", refType = name, config = { type: "object" } } = manifest;
  const { models = [], onboard = [], mutations = [], webhookEvents = [], webhookEventHeader } = manifest;
  const { webhookSignature, network = [], credentials = {}, git = false } = manifest;
  return {
    schema: SCHEMA,
    name,
    version,
    ref_type: refType,
    description,
    config,
    models: models.map((model) => ({ name: model.name, key: model.key, dedup: model.dedup, schema: model.schema })),
    onboard,
    mutations,
    webhook_events: webhookEvents,
    ...(webhookEventHeader !== undefined && { webhook_event_header: webhookEventHeader.toLowerCase() }),
    ...(webhookSignature !== undefined && { webhook_signature: webhookSignature }),
    asks: {
      network,
      credentials: Object.entries(credentials).map(([name, asked]) =>
        typeof asked === "string" ? { name, description: asked } : { name, ...asked },
      ),
      git,
    },
  };
}
