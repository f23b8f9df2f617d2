//! What the server says of comments, which it calls notes, and the records of them. Notes that the server writes itself, of
//! every change, are none.

use integration_model::notes::Notes;
use integration_model::sourcecode::PullRequestComment;
use integration_model::work::IssueComment;
use integration_model::{Comment, CommentFields};
use serde::Deserialize;

use crate::REF_TYPE;
use crate::user::{self, Person};

/// A note as the server says it.
#[derive(Debug, Deserialize)]
pub struct Note {
    id: u64,
    body: String,
    #[serde(default)]
    pub system: bool,
    pub author: Option<Person>,
    created_at: String,
    updated_at: String,
    r#type: Option<String>,
    position: Option<Position>,
}

/// Where on the code it stands.
#[derive(Debug, Deserialize)]
struct Position {
    new_path: Option<String>,
    old_path: Option<String>,
}

/// A time to the second, which is as much as GraphQL says: a record is the same whichever way it came.
pub fn seconds(time: String) -> String {
    match time.split_once('.') {
        Some((until, rest)) => format!("{until}{}", rest.trim_start_matches(|digit: char| digit.is_ascii_digit())),
        None => time,
    }
}

impl Note {
    /// `url` is that of what it hangs on.
    fn comment(&mut self, url: &str, notes: &mut Notes) -> Comment {
        let fields = CommentFields {
            body: notes.text(std::mem::take(&mut self.body)),
            url: format!("{url}#note_{}", self.id),
            user_ref_id: user::ref_id(self.author.as_ref()),
            created_at: seconds(std::mem::take(&mut self.created_at)),
            updated_at: seconds(std::mem::take(&mut self.updated_at)),
        };
        Comment::new(REF_TYPE, self.id.to_string(), fields)
    }

    pub fn of_issue(mut self, project: &str, issue: &str, url: &str, notes: &mut Notes) -> IssueComment {
        IssueComment::of_repo(self.comment(url, notes), project, issue)
    }

    pub fn of_merge_request(
        mut self,
        project: &str,
        merge_request: &str,
        url: &str,
        notes: &mut Notes,
    ) -> PullRequestComment {
        let comment = self.comment(url, notes);
        PullRequestComment {
            on_code: Some(self.r#type.as_deref() == Some("DiffNote")),
            path: self.position.and_then(|position| position.new_path.or(position.old_path)),
            ..PullRequestComment::new(comment, project, merge_request)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times_are_told_to_the_second() {
        for (time, to_the_second) in [
            ("2026-01-01T00:00:00.123Z", "2026-01-01T00:00:00Z"),
            ("2012-09-20T11:50:22.000+03:00", "2012-09-20T11:50:22+03:00"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("when.ever", "whenever"),
            ("", ""),
        ] {
            assert_eq!(seconds(time.to_owned()), to_the_second);
        }
    }
}
