//! The pauses of requests because a server's budget was spent: which last, which are over, and whom they kept waiting. Only
//! written down here, for who watches a run or looks afterwards; what waits, and for how long, is `gate`'s.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Notify;

use super::gate::rfc3339;

/// Pauses kept for the report. One that waits for a budget by the hour has some a day.
const PAUSES_MAX: usize = 200;
/// Ends that are no further apart are one: each is worked out anew from two clocks.
const SAME_END: Duration = Duration::from_secs(2);

/// A pause of requests to a server because its budget was spent, and its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub host: String,
    /// The server's name of the budget, if it has several.
    pub resource: String,
    /// RFC 3339: when the budget is there again.
    pub until: String,
    /// Integrations that waited, or were told to come back.
    pub integrations: Vec<String>,
    /// RFC 3339: when the first request went out after it; none while it lasts.
    pub resumed: Option<String>,
}

impl Pause {
    /// Whether nothing goes to the server yet.
    #[must_use]
    pub fn lasts(&self, now: OffsetDateTime) -> bool {
        // One whose end cannot be read was not written here; it is shown rather than hidden.
        self.resumed.is_none() && OffsetDateTime::parse(&self.until, &Rfc3339).map_or(true, |until| until > now)
    }
}

/// The pauses of one gate.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// With the moment of `until`.
    kept: Vec<(Pause, OffsetDateTime)>,
    left_out: u64,
}

impl Pauses {
    /// Oldest first, and how many there were beyond those that are kept.
    pub(super) fn list(&self) -> (Vec<Pause>, u64) {
        (self.kept.iter().map(|(pause, _)| pause.clone()).collect(), self.left_out)
    }

    fn open(&mut self, host: &str, resource: &str) -> Option<&mut (Pause, OffsetDateTime)> {
        let is = |pause: &Pause| pause.resumed.is_none() && pause.host == host && pause.resource == resource;
        self.kept.iter_mut().find(|(pause, _)| is(pause))
    }

    /// Notes that an integration waits. Says whether that is news.
    pub(super) fn note(&mut self, host: &str, resource: &str, until: OffsetDateTime, integration: &str) -> bool {
        if let Some((known, end)) = self.open(host, resource) {
            let moved = (until - *end).abs() > SAME_END;
            if moved {
                *end = until;
                known.until = rfc3339(until);
            }
            let another = known.integrations.iter().all(|name| name != integration);
            if another {
                known.integrations.push(integration.to_owned());
            }
            return moved || another;
        }
        if self.kept.len() < PAUSES_MAX {
            let pause = Pause {
                host: host.to_owned(),
                resource: resource.to_owned(),
                until: rfc3339(until),
                integrations: vec![integration.to_owned()],
                resumed: None,
            };
            self.kept.push((pause, until));
        } else {
            self.left_out += 1;
        }
        true
    }

    /// The server answers again: ends the pause, if there was one.
    pub(super) fn end(&mut self, host: &str, resource: &str, at: OffsetDateTime) -> Option<Pause> {
        let (pause, _) = self.open(host, resource)?;
        pause.resumed = Some(rfc3339(at));
        Some(pause.clone())
    }
}

/// Tells one listener that pauses have begun, changed or ended since it last looked.
#[derive(Debug, Default)]
pub(super) struct News(Notify);

impl News {
    pub(super) fn tell(&self) {
        // Kept until somebody looks.
        self.0.notify_one();
    }

    pub(super) async fn wait(&self) {
        self.0.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> OffsetDateTime {
        OffsetDateTime::parse(text, &Rfc3339).unwrap()
    }

    #[test]
    fn one_pause_is_one_line_however_many_meet_it() {
        let mut pauses = Pauses::default();
        let end = moment("2026-11-21T10:00:00Z");
        assert!(pauses.note("h", "core", end, "a"));
        assert!(!pauses.note("h", "core", end + Duration::from_millis(1_900), "a"), "it is the same end");
        assert!(pauses.note("h", "core", end, "b"), "another waits");
        assert!(pauses.note("h", "core", end + Duration::from_secs(3600), "a"), "it is longer");
        assert!(pauses.note("h", "search", end, "a"), "another budget");
        let (kept, _) = pauses.list();
        assert_eq!((kept.len(), kept[0].until.as_str()), (2, "2026-11-21T11:00:00Z"));
        assert_eq!(kept[0].integrations, ["a", "b"]);
        assert!(pauses.end("other", "core", end).is_none());
        assert_eq!(pauses.end("h", "core", end).unwrap().resumed.as_deref(), Some("2026-11-21T10:00:00Z"));
        assert!(pauses.end("h", "core", end).is_none(), "it is over");
        assert!(pauses.note("h", "core", end, "a"), "the next one");
        assert_eq!(pauses.list().0.len(), 3);
    }

    #[test]
    fn they_are_bounded_and_what_is_left_out_is_counted() {
        let mut pauses = Pauses::default();
        for number in 0..PAUSES_MAX + 3 {
            assert!(pauses.note(&number.to_string(), "", moment("2026-11-21T10:00:00Z"), "a"));
        }
        assert_eq!((pauses.list().0.len(), pauses.list().1), (PAUSES_MAX, 3));
    }

    #[test]
    fn a_pause_lasts_until_its_end() {
        let pause = |until: &str, resumed: Option<&str>| Pause {
            host: "h".into(),
            resource: String::new(),
            until: until.into(),
            integrations: vec![],
            resumed: resumed.map(str::to_owned),
        };
        let now = moment("2026-11-21T09:30:00Z");
        for (pause, lasts) in [
            (pause("2026-11-21T09:30:01Z", None), true),
            (pause("2026-11-21T09:30:00Z", None), false),
            (pause("2026-11-21T09:30:01Z", Some("2026-11-21T09:29:00Z")), false),
            (pause("soon", None), true),
        ] {
            assert_eq!(pause.lasts(now), lasts, "{pause:?}");
        }
    }
}
