//! Deletions that are more than a sweep believes of its own accord, and that an operator accepts: the setting
//! `accept_deletions`, which names each by its number, its model and its place, as a refusal has said it.
//!
//! An entry is for once. It is taken where no more than its number is missing, over as many runs as a small budget makes of it,
//! and spent when all of that has been asked for; from then on it does nothing, however long it stays in the configuration, and
//! each run says so. What is taken and what is spent is kept in `state` until the entry is taken out.

use std::cell::Cell;
use std::collections::BTreeMap;

use agent_sdk::sweep::{self, Ids, TooMany};
use agent_sdk::{Error, Model, Result, log, state};
use serde_json::{Value, json};

/// Where the texts of entries that were taken are kept, each with whether it is spent.
const TAKEN: &str = "deletions/taken";

/// What an operator accepts.
#[derive(Debug, Default)]
pub struct Accepted {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    text: String,
    count: usize,
    model: String,
    /// The repository, project or account, as people call it.
    place: String,
    /// Whether this run or an earlier one took it.
    taken: Cell<bool>,
    spent: Cell<bool>,
    /// Whether this run took it.
    used: Cell<bool>,
}

impl Entry {
    /// `300 work.Issue of acme/widgets`.
    fn parse(text: &str) -> Option<Entry> {
        let (count, rest) = text.trim().split_once(' ')?;
        let (model, place) = rest.trim_start().split_once(" of ")?;
        let (model, place) = (model.trim(), place.trim());
        let is_whole = !model.is_empty() && !model.contains(' ') && !place.is_empty();
        is_whole.then_some(Entry {
            text: text.to_owned(),
            count: count.parse().ok().filter(|count| *count > 0)?,
            model: model.to_owned(),
            place: place.to_owned(),
            taken: Cell::new(false),
            spent: Cell::new(false),
            used: Cell::new(false),
        })
    }

    fn is_about(&self, model: &str, place: &str) -> bool {
        self.model == model && self.place.eq_ignore_ascii_case(place)
    }
}

/// What the setting is to say for so many to be believed.
fn wanted(count: usize, model: &str, place: &str) -> String {
    format!("{count} {model} of {place}")
}

/// The form of the setting.
#[must_use]
pub fn schema() -> Value {
    json!({
        "type": "array",
        "items": { "type": "string", "pattern": "^[1-9][0-9]* +[A-Za-z.]+ of .+$" },
        "description": "Large deletions to believe, each for once, as a refusal has named it: 300 work.Issue of acme/widgets"
    })
}

/// What is wrong with entries, one sentence each.
#[must_use]
pub fn faults(texts: &[String]) -> Vec<String> {
    let wrong = texts.iter().filter(|text| Entry::parse(text).is_none());
    let say = |text: &String| {
        format!("accept_deletions has `{text}`: write how many of what, and where: {}", wanted(300, "work.Issue", "…"))
    };
    wrong.map(say).collect()
}

impl Accepted {
    /// Reads the setting, and what of it is spent.
    ///
    /// # Errors
    /// Where an entry is none, or the host fails.
    pub fn read(texts: &[String]) -> Result<Accepted> {
        if let Some(fault) = faults(texts).into_iter().next() {
            return Err(Error::invalid(fault));
        }
        let entries: Vec<Entry> = texts.iter().filter_map(|text| Entry::parse(text)).collect();
        let before: BTreeMap<String, bool> = state::get_json(TAKEN)?.unwrap_or_default();
        for entry in &entries {
            let taken = before.get(&entry.text);
            entry.taken.set(taken.is_some());
            entry.spent.set(taken == Some(&true));
        }
        let accepted = Accepted { entries };
        // What was taken out may be put in again, and is new then.
        if before.keys().any(|text| !texts.contains(text)) {
            accepted.keep()?;
        }
        Ok(accepted)
    }

    /// Writes down what was taken.
    fn keep(&self) -> Result<()> {
        let taken = self.entries.iter().filter(|entry| entry.taken.get());
        let taken: BTreeMap<&str, bool> = taken.map(|entry| (entry.text.as_str(), entry.spent.get())).collect();
        if taken.is_empty() { state::delete(TAKEN) } else { state::set_json(TAKEN, &taken) }
    }

    /// Whether something may be taken of a model in a place. It is looked through then, even where nothing has moved.
    #[must_use]
    pub fn concerns<M: Model>(&self, place: &str) -> bool {
        self.entries.iter().any(|entry| entry.is_about(M::NAME, place) && !entry.spent.get())
    }

    /// Whether something may be taken in a place, of any model.
    #[must_use]
    pub fn concerns_any(&self, place: &str) -> bool {
        self.entries.iter().any(|entry| entry.place.eq_ignore_ascii_case(place) && !entry.spent.get())
    }

    /// What is known and not listed, as far as that is believed or accepted.
    ///
    /// # Errors
    /// Where the host fails. What is to be said where it is not believed – how many are missing, and what would accept it – is the
    /// inner one.
    pub fn gone<M: Model>(&self, place: &str, known: &Ids, listed: &Ids) -> Result<Result<Vec<u64>, String>> {
        let why = match sweep::gone(known, listed) {
            Ok(missing) => return Ok(Ok(missing)),
            Err(why) => why,
        };
        let mut about = self.entries.iter().filter(|entry| entry.is_about(M::NAME, place));
        let entry = about.clone().filter(|entry| !entry.spent.get()).max_by_key(|entry| entry.count);
        let accepted = entry.map_or(0, |entry| entry.count);
        match (sweep::gone_accepting(known, listed, accepted), entry) {
            (Ok(missing), Some(entry)) => {
                entry.used.set(true);
                if !entry.taken.replace(true) {
                    self.keep()?;
                }
                let fields = [("accepted", entry.text.as_str()), ("missing", &missing.len().to_string())];
                log::warn("a large deletion is accepted, as the configuration says", &fields);
                Ok(Ok(missing))
            }
            _ => Ok(Err(refusal::<M>(place, why, about.any(|entry| entry.spent.get())))),
        }
    }

    /// Notes that what was accepted of a model in a place has been asked for to the end. It becomes durable with what that
    /// brought.
    ///
    /// # Errors
    /// Where the host fails.
    pub fn spend<M: Model>(&self, place: &str) -> Result<()> {
        let taken = |entry: &&Entry| entry.is_about(M::NAME, place) && entry.taken.get() && !entry.spent.get();
        let ended = self.entries.iter().filter(taken).map(|entry| entry.spent.set(true)).count();
        if ended > 0 { self.keep() } else { Ok(()) }
    }

    /// Says which entries do nothing any more, so that none stays unseen.
    pub fn tell(&self) {
        for entry in self.entries.iter().filter(|entry| !entry.used.get()) {
            let why = match entry.spent.get() {
                true => "an entry of accept_deletions was taken by an earlier run, and is not taken again: take it out",
                false => {
                    "this run had no use for an entry of accept_deletions: take it out, unless the run ended before it"
                }
            };
            log::warn(why, &[("entry", &entry.text)]);
        }
    }
}

fn refusal<M: Model>(place: &str, why: TooMany, spent: bool) -> String {
    let TooMany { missing, known, .. } = why;
    let wanted = wanted(missing, M::NAME, place);
    let before = if spent { "; take out the entry that is spent" } else { "" };
    format!(
        "{missing} of {known} {} of {place} are missing, more than is believed at once: nothing is taken for deleted. If they \
         were, accept it for once: accept_deletions: [\"{wanted}\"]{before}",
        M::NAME
    )
}

#[cfg(test)]
mod tests {
    use agent_sdk::sweep::Ids;
    use agent_sdk::testing::Host;
    use agent_sdk::{Integration, Manifest, Result};
    use serde_json::json;

    use super::{Accepted, Entry, faults};
    use crate::work::Issue;

    #[test]
    fn an_entry_says_how_many_of_what_and_where() {
        let parts = |text: &str| Entry::parse(text).map(|entry| (entry.count, entry.model, entry.place));
        assert_eq!(parts("300 work.Issue of acme/widgets"), Some((300, "work.Issue".into(), "acme/widgets".into())));
        assert_eq!(parts("1 sourcecode.Repo of The of House").unwrap().2, "The of House");
        let wrong = [
            "",
            "300",
            "work.Issue of acme",
            "0 work.Issue of a",
            "-1 work.Issue of a",
            "3 work.Issue of ",
            "3 a b of c",
        ];
        assert_eq!(faults(&wrong.map(str::to_owned)).len(), wrong.len());
        assert!(faults(&["x".to_owned()])[0].contains("`x`"));
    }

    /// A run with these entries, of which `work.Issue` of `acme/x` has ids 1 to 100 and lists those from this one on.
    struct Runs;

    #[derive(serde::Deserialize)]
    struct Config {
        accept: Vec<String>,
        from: u64,
        ends: bool,
    }

    impl Integration for Runs {
        type Config = Config;

        fn describe() -> Manifest {
            Manifest::new("runs", "0.1.0")
        }

        fn export(config: Config) -> Result<agent_sdk::ExportResult> {
            let root = agent_sdk::session::root_tracking("runs")?;
            let accepted = Accepted::read(&config.accept)?;
            let (known, listed): (Ids, Ids) = ((1..=100).collect(), (config.from..=100).collect());
            let mut result = agent_sdk::ExportResult::new();
            match accepted.gone::<Issue>("acme/x", &known, &listed)? {
                Ok(missing) => result.exported(missing.len().to_string(), ""),
                Err(why) => result.exported("refused", why),
            }
            if config.ends {
                accepted.spend::<Issue>("acme/x")?;
            }
            accepted.tell();
            root.done(None)?;
            Ok(result)
        }
    }

    #[test]
    fn what_is_accepted_is_accepted_once_and_what_stays_does_nothing_and_is_said() {
        let host = Host::new();
        let run_until = |accept: &[&str], from: u64, ends: bool| {
            let run = host.export::<Runs>(json!({ "accept": accept, "from": from, "ends": ends })).ok();
            let project = &run.result.as_ref().unwrap().projects[0];
            let lines: Vec<String> = run.logs.iter().map(|line| line.message.clone()).collect();
            (project.ref_id.clone(), project.name.clone().unwrap_or_default(), lines.join("; "))
        };
        let run = |accept: &[&str], from: u64| run_until(accept, from, true);
        assert_eq!(run(&[], 11).0, "10");
        let (refused, why, _) = run(&[], 41);
        assert_eq!(refused, "refused");
        assert!(why.contains(r#"accept_deletions: ["40 work.Issue of acme/x"]"#), "{why}");
        for other in ["39 work.Issue of acme/x", "40 work.Issue of acme/y", "40 sourcecode.Repo of acme/x"] {
            let (refused, _, said) = run(&[other], 41);
            assert!(refused == "refused" && said.contains("no use for an entry"), "{other}: {said}");
        }
        let entry = ["40 work.Issue of Acme/X"];
        // A run that does not come to its end takes it, and so does the next one, of what is left.
        assert_eq!(run_until(&entry, 41, false).0, "40");
        let (missing, _, said) = run(&entry, 41);
        assert!(missing == "40" && said.contains("a large deletion is accepted"), "{said}");
        let (refused, why, said) = run(&entry, 41);
        assert!(
            refused == "refused" && why.contains("take out the entry") && said.contains("not taken again"),
            "{why}; {said}"
        );
        // Taken out for a run, it may be said once more.
        assert_eq!(run(&[], 41).0, "refused");
        assert_eq!(run(&entry, 41).0, "40");
    }
}
