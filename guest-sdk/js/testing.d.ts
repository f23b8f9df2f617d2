// A stand-in for the host, so that an integration's tests run natively under Node.
import type { Component, MutateResult, ValidateResult } from "./index.js";

/** A request as the integration made it. */
export interface Request {
  method: string;
  url: string;
  headers: [string, string][];
  body?: string;
  options: [string, string][];
}

export interface Answer {
  status?: number;
  json?: unknown;
  body?: string;
  headers?: Record<string, string>;
}

/** The stand-in. One at a time: the newest counts. */
export class Host {
  /** Committed records by model. */
  records: Record<string, any[]>;
  /** Committed cursors by session path. */
  cursors: Record<string, string>;
  /** What was skipped, and why, by session path. */
  skipped: Record<string, string>;
  /** Sessions that were rolled back, by path. */
  rolledBack: string[];
  /** Repositories whose export was committed. */
  repos: any[];
  /** The state's values. */
  state: Record<string, string>;
  /** Requests in order. */
  requests: Request[];
  /** Lines of the log: level and message. */
  log: [string, string][];
  /** What `shouldStop` answers. */
  stop: boolean;
  /**
   * Answers requests of this method whose URL, without its query unless `url` has one, is this one. A later answer goes before
   * an earlier one.
   */
  answer(method: string, url: string, answer: Answer | ((request: Request) => Answer)): void;
  /** Runs an export. Returns what it said of its parts; what it throws is thrown. */
  export(integration: Component, config: unknown): { ref_id: string; name?: string; error?: string }[];
  validateConfig(integration: Component, config: unknown): ValidateResult;
  onboard(integration: Component, kind: string, config: unknown): any[];
  mutate(integration: Component, name: string, data: unknown, config: unknown): MutateResult;
  /** Gives a webhook: bytes, or what is to be written as JSON. */
  webhook(integration: Component, body: unknown, config: unknown, headers?: Record<string, string>): MutateResult;
}
