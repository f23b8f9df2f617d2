//! Every GraphQL query, and why it is as it is. A query costs the requests that it takes to fill all its connections, over a
//! hundred, rounded to the nearest, at least one: a page of n parents with k connections each takes 1 + n·k. So the sizes
//! below are the largest that still come to one point; how many items the inner connections are asked for costs nothing.
//!
//! | Query | k | Page | Requests | Points | A first sync of 10,000 issues, 5,000 pull requests, 2,000 users |
//! |---|---|---|---|---|---|
//! | [`REPOSITORIES`] | 2 | 74 | 149 | 1 | 14 for 1,000 repositories; a quiet hour is this and nothing else |
//! | [`MEMBERS`] | 0 | 100 | 1 | 1 | 20, and again after a day |
//! | [`ISSUES`] | 3 | 49 | 148 | 1 | 205 |
//! | [`PULL_REQUESTS`] | 5 | 29 | 146 | 1 | 173 |
//! | [`more`] | 1 | 20 threads | 20 | 1 | what inner connections did not hold |
//! | [`ISSUE_NUMBERS`], [`PULL_REQUEST_NUMBERS`] | 0 | 100 | 1 | 1 | 0: only where the counts differ |
//! | [`exist`] | 0 | 100 comments | 1 | 1 | 0: only where one is missing that was there |
//! | comments on code, by REST | – | 100 | – | 1 | 100 for 10,000 |
//!
//! The total, about 515 points for the reference repository, is what `make bench AREA=github` shows.

/// Repositories on a page of [`REPOSITORIES`].
pub const REPOSITORIES_PAGE: u32 = 74;
/// Members on a page of [`MEMBERS`].
pub const MEMBERS_PAGE: u32 = 100;
/// Issues on a page of [`ISSUES`].
pub const ISSUES_PAGE: u32 = 49;
/// Pull requests on a page of [`PULL_REQUESTS`].
pub const PULL_REQUESTS_PAGE: u32 = 29;
/// Threads whose inner connections go on in one query.
pub const MORE_PAGE: usize = 20;
/// Numbers on a page of [`ISSUE_NUMBERS`], [`PULL_REQUEST_NUMBERS`] and [`HEADS`].
pub const NUMBERS_PAGE: u32 = 100;
/// Nodes of which one query asks whether they are there.
pub const EXIST_PAGE: usize = 100;
/// Issues that are looked up by number in one query.
pub const ISSUES_LOOK_UP_PAGE: usize = 48;
/// Pull requests that are.
pub const PULL_REQUESTS_LOOK_UP_PAGE: usize = 28;

/// Whom something is by. Not the mail address: a token without the right to see it would get nothing at all.
macro_rules! who {
    () => {
        "fragment Who on Actor { __typename login avatarUrl url
            ... on User { databaseId name } ... on Bot { databaseId } ... on Mannequin { databaseId }
            ... on Organization { databaseId name } }"
    };
}

macro_rules! issue {
    () => {
        "fragment IssueParts on Issue { id number title body url state stateReason locked createdAt updatedAt closedAt
            author { ...Who }
            labels(first: 100) { nodes { name } }
            assignees(first: 10) { nodes { ...Who } }
            comments(first: 50) { pageInfo { hasNextPage endCursor } nodes { ...CommentParts } } }
        fragment CommentParts on IssueComment { id body url createdAt updatedAt author { ...Who } }"
    };
}

macro_rules! pull_request {
    () => {
        "fragment PullRequestParts on PullRequest { id number title body url state isDraft locked createdAt updatedAt
            closedAt mergedAt headRefName headRefOid baseRefName mergeCommit { oid } mergedBy { ...Who }
            author { ...Who }
            labels(first: 100) { nodes { name } }
            comments(first: 50) { pageInfo { hasNextPage endCursor } nodes { ...CommentParts } }
            reviews(first: 50) { pageInfo { hasNextPage endCursor } nodes { ...ReviewParts } }
            reviewRequests(first: 50) { pageInfo { hasNextPage endCursor } nodes { ...RequestParts } }
            commits(first: 50) { pageInfo { hasNextPage endCursor } nodes { ...CommitParts } } }
        fragment CommentParts on IssueComment { id body url createdAt updatedAt author { ...Who } }
        fragment ReviewParts on PullRequestReview { id state body url submittedAt author { ...Who } }
        fragment RequestParts on ReviewRequest { requestedReviewer { __typename ...Who ... on Team { databaseId } } }
        fragment CommitParts on PullRequestCommit { commit { oid message url additions deletions authoredDate committedDate
            author { name email user { ...Who } } committer { name email user { ...Who } } } }"
    };
}

const RATE: &str = "rateLimit { limit cost remaining resetAt }";

/// The repositories of an account, each with its newest issue and pull request: what is as it was needs no more.
pub const REPOSITORIES: &str = "query($login: String!, $first: Int!, $after: String) {
    rateLimit { limit cost remaining resetAt }
    repositoryOwner(login: $login) { repositories(first: $first, after: $after, ownerAffiliations: [OWNER],
        orderBy: {field: CREATED_AT, direction: ASC}) {
        pageInfo { hasNextPage endCursor }
        nodes { databaseId name nameWithOwner description url visibility isArchived isFork isDisabled hasIssuesEnabled
            createdAt updatedAt pushedAt defaultBranchRef { name } primaryLanguage { name }
            issues(first: 1, orderBy: {field: UPDATED_AT, direction: DESC}) { totalCount nodes { updatedAt } }
            pullRequests(first: 1, orderBy: {field: UPDATED_AT, direction: DESC}) { totalCount nodes { updatedAt } } }
    } } }";

/// The same without what could be too much, to step over one that the server cannot give.
pub const REPOSITORIES_BARE: &str = "query($login: String!, $first: Int!, $after: String) {
    rateLimit { limit cost remaining resetAt }
    repositoryOwner(login: $login) { repositories(first: $first, after: $after, ownerAffiliations: [OWNER],
        orderBy: {field: CREATED_AT, direction: ASC}) { pageInfo { hasNextPage endCursor } nodes { databaseId } } } }";

/// The members of an organization.
pub const MEMBERS: &str = "query($login: String!, $first: Int!, $after: String, $mail: Boolean!) {
    rateLimit { limit cost remaining resetAt }
    organization(login: $login) { membersWithRole(first: $first, after: $after) {
        pageInfo { hasNextPage endCursor }
        nodes { __typename databaseId login name avatarUrl url email @include(if: $mail) } } } }";

/// The same without what could be too much.
pub const MEMBERS_BARE: &str = "query($login: String!, $first: Int!, $after: String) {
    rateLimit { limit cost remaining resetAt }
    organization(login: $login) { membersWithRole(first: $first, after: $after) {
        pageInfo { hasNextPage endCursor } nodes { databaseId } } } }";

/// Issues of a repository with what hangs on them.
pub const ISSUES: &str = concat!(
    "query($owner: String!, $name: String!, $first: Int!, $after: String, $field: IssueOrderField!,
        $direction: OrderDirection!) {
    rateLimit { limit cost remaining resetAt }
    repository(owner: $owner, name: $name) { issues(first: $first, after: $after,
        orderBy: {field: $field, direction: $direction}) {
        totalCount pageInfo { hasNextPage endCursor } nodes { ...IssueParts } } } } ",
    issue!(),
    who!()
);

/// The same without what could be too much.
pub const ISSUES_BARE: &str = "query($owner: String!, $name: String!, $first: Int!, $after: String,
        $field: IssueOrderField!, $direction: OrderDirection!) {
    rateLimit { limit cost remaining resetAt }
    repository(owner: $owner, name: $name) { issues(first: $first, after: $after,
        orderBy: {field: $field, direction: $direction}) {
        totalCount pageInfo { hasNextPage endCursor } nodes { number updatedAt } } } }";

/// Pull requests of a repository with what hangs on them.
pub const PULL_REQUESTS: &str = concat!(
    "query($owner: String!, $name: String!, $first: Int!, $after: String, $field: IssueOrderField!,
        $direction: OrderDirection!) {
    rateLimit { limit cost remaining resetAt }
    repository(owner: $owner, name: $name) { pullRequests(first: $first, after: $after,
        orderBy: {field: $field, direction: $direction}) {
        totalCount pageInfo { hasNextPage endCursor } nodes { ...PullRequestParts } } } } ",
    pull_request!(),
    who!()
);

/// The same without what could be too much.
pub const PULL_REQUESTS_BARE: &str = "query($owner: String!, $name: String!, $first: Int!, $after: String,
        $field: IssueOrderField!, $direction: OrderDirection!) {
    rateLimit { limit cost remaining resetAt }
    repository(owner: $owner, name: $name) { pullRequests(first: $first, after: $after,
        orderBy: {field: $field, direction: $direction}) {
        totalCount pageInfo { hasNextPage endCursor } nodes { number updatedAt } } } }";

/// The numbers of all issues of a repository, and nothing else of them.
pub const ISSUE_NUMBERS: &str = "query($owner: String!, $name: String!, $first: Int!, $after: String) {
    rateLimit { limit cost remaining resetAt }
    repository(owner: $owner, name: $name) { issues(first: $first, after: $after,
        orderBy: {field: CREATED_AT, direction: ASC}) {
        totalCount pageInfo { hasNextPage endCursor } nodes { number } } } }";

/// The numbers of all pull requests of a repository.
pub const PULL_REQUEST_NUMBERS: &str = "query($owner: String!, $name: String!, $first: Int!, $after: String) {
    rateLimit { limit cost remaining resetAt }
    repository(owner: $owner, name: $name) { pullRequests(first: $first, after: $after,
        orderBy: {field: CREATED_AT, direction: ASC}) {
        totalCount pageInfo { hasNextPage endCursor } nodes { number } } } }";

/// Where the branches of all pull requests are.
pub const HEADS: &str = "query($owner: String!, $name: String!, $first: Int!, $after: String) {
    rateLimit { limit cost remaining resetAt }
    repository(owner: $owner, name: $name) { pullRequests(first: $first, after: $after,
        orderBy: {field: CREATED_AT, direction: ASC}) {
        totalCount pageInfo { hasNextPage endCursor } nodes { number url headRefName headRefOid } } } }";

/// One issue.
pub const ISSUE: &str = concat!(
    "query($owner: String!, $name: String!, $number: Int!) { rateLimit { limit cost remaining resetAt }
    repository(owner: $owner, name: $name) { issue(number: $number) { ...IssueParts } } } ",
    issue!(),
    who!()
);

/// One pull request.
pub const PULL_REQUEST: &str = concat!(
    "query($owner: String!, $name: String!, $number: Int!) { rateLimit { limit cost remaining resetAt }
    repository(owner: $owner, name: $name) { pullRequest(number: $number) { ...PullRequestParts } } } ",
    pull_request!(),
    who!()
);

/// Whether the credential works, and for whom.
pub const VIEWER: &str = "query { rateLimit { limit cost remaining resetAt } viewer { login } }";

/// An inner connection that goes on.
#[derive(Debug, Clone)]
pub struct More {
    /// The node that it hangs on.
    pub id: String,
    pub connection: &'static str,
    pub after: String,
}

/// The inner connections, each with what its nodes are asked for.
pub const INNER: [(&str, &str, &str); 4] = [
    ("comments", "CommentParts", "fragment CommentParts on IssueComment { id body url createdAt updatedAt author { ...Who } }"),
    ("reviews", "ReviewParts", "fragment ReviewParts on PullRequestReview { id state body url submittedAt author { ...Who } }"),
    (
        "reviewRequests",
        "RequestParts",
        "fragment RequestParts on ReviewRequest { requestedReviewer { __typename ...Who ... on Team { databaseId } } }",
    ),
    (
        "commits",
        "CommitParts",
        "fragment CommitParts on PullRequestCommit { commit { oid message url additions deletions authoredDate committedDate
            author { name email user { ...Who } } committer { name email user { ...Who } } } }",
    ),
];

/// A query for the next items of several inner connections: `n0`, `n1`, … each with the connection under its name.
pub fn more(kind: &str, wanted: &[More], first: u32) -> String {
    let mut document = format!("query {{ {RATE}");
    for (place, more) in wanted.iter().enumerate() {
        let Some((name, parts, _)) = INNER.iter().find(|(name, _, _)| *name == more.connection) else { continue };
        let (id, after) = (quoted(&more.id), quoted(&more.after));
        document.push_str(&format!(
            " n{place}: node(id: {id}) {{ ... on {kind} {{ {name}(first: {first}, after: {after}) {{ pageInfo {{ hasNextPage endCursor }} nodes {{ ...{parts} }} }} }} }}"
        ));
    }
    document.push_str(" } ");
    for (name, _, fragment) in INNER {
        // A fragment that nothing uses is an error.
        if wanted.iter().any(|more| more.connection == name) {
            document.push_str(fragment);
        }
    }
    document + who!()
}

/// A query for issues or pull requests by their numbers: `n0`, `n1`, …
pub fn look_up(kind: &str, numbers: &[u64]) -> String {
    let (field, parts, fragments) = match kind {
        "Issue" => ("issue", "IssueParts", concat!(issue!(), who!())),
        _ => ("pullRequest", "PullRequestParts", concat!(pull_request!(), who!())),
    };
    let mut document =
        format!("query($owner: String!, $name: String!) {{ {RATE} repository(owner: $owner, name: $name) {{");
    for (place, number) in numbers.iter().enumerate() {
        document.push_str(&format!(" n{place}: {field}(number: {number}) {{ ...{parts} }}"));
    }
    document + " } } " + fragments
}

/// A query for whether these nodes are there: `n0`, `n1`, …
pub fn exist(ids: &[String]) -> String {
    let mut document = format!("query {{ {RATE}");
    for (place, id) in ids.iter().enumerate() {
        document.push_str(&format!(" n{place}: node(id: {}) {{ id }}", quoted(id)));
    }
    document + " }"
}

/// A text of the query language; JSON's escapes are among its own.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// All fixed queries, for tests that hold them against the schema.
#[cfg(test)]
pub const ALL: [(&str, &str); 14] = [
    ("REPOSITORIES", REPOSITORIES),
    ("REPOSITORIES_BARE", REPOSITORIES_BARE),
    ("MEMBERS", MEMBERS),
    ("MEMBERS_BARE", MEMBERS_BARE),
    ("ISSUES", ISSUES),
    ("ISSUES_BARE", ISSUES_BARE),
    ("PULL_REQUESTS", PULL_REQUESTS),
    ("PULL_REQUESTS_BARE", PULL_REQUESTS_BARE),
    ("ISSUE_NUMBERS", ISSUE_NUMBERS),
    ("PULL_REQUEST_NUMBERS", PULL_REQUEST_NUMBERS),
    ("HEADS", HEADS),
    ("ISSUE", ISSUE),
    ("PULL_REQUEST", PULL_REQUEST),
    ("VIEWER", VIEWER),
];
