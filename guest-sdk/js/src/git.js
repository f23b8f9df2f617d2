// Git repositories, processed natively by the host.
import { call, host, toJson } from "./host.js";

export function exportRepo(session, repo) {
  call(() => host.git.exportRepo(session.raw, toJson(repo, "the repository")));
}
