//! Repositories for the host's git side, with the branches of their pull requests.

use agent_sdk::{Session, Tracking, git};

use crate::notes::Notes;

/// Bytes of the branches of pull requests in one repository's document, of which the host takes 1 MiB.
const HEADS_BYTES_MAX: usize = 1_000_000;

/// Where the branch of a pull request is; none where the server does not know its newest commit.
pub fn head(ref_id: &str, url: &str, branch: &str, sha: Option<&str>) -> Option<git::PullRequest> {
    let sha = sha.filter(|sha| matches!(sha.len(), 40 | 64) && sha.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some(git::PullRequest {
        id: String::new(),
        ref_id: ref_id.to_owned(),
        url: url.to_owned(),
        branch_name: branch.to_owned(),
        last_commit_sha: sha.to_ascii_lowercase(),
    })
}

/// Queues a repository with the branches of its pull requests, whose ids end in their number: the newest, if there is no room
/// for all. A host that does not take it is no failure of the rest: the API's records are worth having without.
pub fn queue(
    tracking: &Session<Tracking>,
    mut document: git::Repo,
    mut heads: Vec<git::PullRequest>,
    notes: &mut Notes,
) {
    let number = |head: &git::PullRequest| head.ref_id.rsplit('/').next().and_then(|number| number.parse::<u64>().ok());
    heads.sort_by_key(|head| std::cmp::Reverse(number(head)));
    let mut bytes = 0;
    let total = heads.len();
    heads.retain(|head| {
        bytes += serde_json::to_string(head).map_or(0, |text| text.len() + 1);
        bytes <= HEADS_BYTES_MAX
    });
    if heads.len() < total {
        notes.left_out(&format!("the branches of the {} oldest pull requests: no room", total - heads.len()));
    }
    document.pull_requests = heads;
    if let Err(error) = git::export_repo(tracking, &document) {
        notes.left_out(&format!("the repository's commits: {error}"));
    }
}
