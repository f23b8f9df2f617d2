//! The ids of what was exported, however many they are: few of them in a cursor, more in pages, each the cursor of a session that
//! is for nothing else. A page has the ids from one number up to where the next begins; only those that have changed are written,
//! and one that has become too large is parted in two.
//!
//! Pages are written after the records that they tell of. What a kill leaves out of them is found by the next sweep, as what was
//! missed or what has gone.

use std::ops::Bound;

use agent_sdk::sweep::Ids;
use agent_sdk::{Result, Session, Tracking};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Bytes of ids that stand in the main cursor, which is written with each commit.
const CURSOR_BYTES_MAX: usize = 16_000;
/// Bytes of ids in a page, of which a cursor has 64 KiB.
const PAGE_BYTES_MAX: usize = 48_000;
/// Ids that are held in memory: some tens of megabytes.
pub const IDS_MAX: usize = 1_000_000;
/// What the sessions of pages are called.
const PAGE: &str = "ids";

/// How a main cursor names the ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Named {
    /// The ids, where they are few.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<String>,
    /// How many pages they fill; none where they are few.
    #[serde(skip_serializing_if = "is_zero")]
    pub known_pages: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The ids, in memory.
pub struct Known<'a> {
    above: &'a Session<Tracking>,
    ids: Ids,
    /// By where they begin.
    pages: Vec<Page>,
}

struct Page {
    session: Session<Tracking>,
    from: u64,
    changed: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    from: u64,
    ids: String,
}

impl<'a> Known<'a> {
    /// Those that a main cursor names; none where it names none, and this is not the beginning. Pages are sessions below `above`.
    ///
    /// # Errors
    /// Where the host fails.
    pub fn open(above: &'a Session<Tracking>, named: &Named, begins: bool) -> Result<Option<Known<'a>>> {
        let mut known = Known { above, ids: Ids::new(), pages: Vec::new() };
        if named.known_pages == 0 {
            let few = named.known.as_deref().and_then(Ids::parse).or(begins.then(Ids::new));
            return Ok(few.map(|ids| Known { ids, ..known }));
        }
        for number in 1..=named.known_pages {
            let session = above.tracking(PAGE, &number.to_string(), "")?;
            let cursor: Cursor =
                session.last_processed().and_then(|cursor| serde_json::from_str(&cursor).ok()).unwrap_or_default();
            known.ids.extend(Ids::parse(&cursor.ids).unwrap_or_default().iter());
            known.pages.push(Page { session, from: cursor.from, changed: false });
        }
        Ok(Some(known))
    }

    /// All of them anew, as a server lists them.
    pub fn begin(&mut self, ids: Ids) {
        self.ids = ids;
        self.pages.iter_mut().for_each(|page| page.changed = true);
    }

    /// None of them, for a set that is to be begun.
    #[must_use]
    pub fn empty(above: &'a Session<Tracking>) -> Known<'a> {
        Known { above, ids: Ids::new(), pages: Vec::new() }
    }

    #[must_use]
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    pub fn insert(&mut self, id: u64) {
        if self.ids.insert(id) {
            self.touch(id);
        }
    }

    pub fn remove(&mut self, id: u64) {
        if self.ids.remove(id) {
            self.touch(id);
        }
    }

    /// Notes that the page of an id has changed.
    fn touch(&mut self, id: u64) {
        let place = (0..self.pages.len())
            .filter(|place| self.pages[*place].from <= id)
            .max_by_key(|place| self.pages[*place].from);
        // What is below all pages belongs to the first.
        let place = place.or_else(|| (0..self.pages.len()).min_by_key(|place| self.pages[*place].from));
        if let Some(place) = place {
            self.pages[place].changed = true;
        }
    }

    /// How the main cursor is to name them. Opens pages where they are needed.
    ///
    /// # Errors
    /// Where the host fails.
    pub fn named(&mut self) -> Result<Named> {
        if self.pages.is_empty() {
            let text = self.ids.to_text();
            if text.len() <= CURSOR_BYTES_MAX {
                return Ok(Named { known: Some(text), known_pages: 0 });
            }
            self.add_page(0)?;
        }
        let mut place = 0;
        while place < self.pages.len() {
            if self.pages[place].changed && self.text(place).len() > PAGE_BYTES_MAX {
                let ids: Vec<u64> = self.of_page(place).collect();
                self.add_page(ids[ids.len() / 2])?;
                continue;
            }
            place += 1;
        }
        Ok(Named { known: None, known_pages: self.pages.len() as u64 })
    }

    fn add_page(&mut self, from: u64) -> Result<()> {
        let number = self.pages.len() + 1;
        let session = self.above.tracking(PAGE, &number.to_string(), "")?;
        self.pages.push(Page { session, from, changed: true });
        Ok(())
    }

    /// The ids of a page: those from its number up to the next page's.
    fn of_page(&self, place: usize) -> impl Iterator<Item = u64> + '_ {
        let from = self.pages[place].from;
        let first = self.pages.iter().all(|page| page.from >= from);
        let next = self.pages.iter().map(|page| page.from).filter(|other| *other > from).min();
        let from = if first { Bound::Unbounded } else { Bound::Included(from) };
        self.ids.range((from, next.map_or(Bound::Unbounded, Bound::Excluded)))
    }

    fn text(&self, place: usize) -> String {
        self.of_page(place).collect::<Ids>().to_text()
    }

    /// Writes the pages that have changed. It belongs after the main session's own commit, with what [`Known::named`] said.
    ///
    /// # Errors
    /// Where the host fails.
    pub fn checkpoint(&mut self) -> Result<()> {
        for place in 0..self.pages.len() {
            if self.pages[place].changed {
                let cursor = json!(Cursor { from: self.pages[place].from, ids: self.text(place) }).to_string();
                self.pages[place].session.checkpoint(&cursor)?;
                self.pages[place].changed = false;
            }
        }
        Ok(())
    }

    /// Closes the pages.
    ///
    /// # Errors
    /// Where the host fails.
    pub fn done(self) -> Result<()> {
        self.pages.into_iter().try_for_each(|page| page.session.done(None).map(drop))
    }
}

#[cfg(test)]
mod tests {
    use agent_sdk::sweep::Ids;
    use agent_sdk::testing::Host;
    use agent_sdk::{ExportResult, Integration, Manifest, Result};
    use serde_json::json;

    use super::{CURSOR_BYTES_MAX, Known, Named, PAGE_BYTES_MAX};

    /// Adds and takes away ids, and gives back those that are known, by their sum and number.
    struct Keeps;

    #[derive(serde::Deserialize)]
    struct Config {
        add: Vec<u64>,
        take: Vec<u64>,
    }

    impl Integration for Keeps {
        type Config = Config;

        fn describe() -> Manifest {
            Manifest::new("keeps", "0.1.0")
        }

        fn export(config: Config) -> Result<ExportResult> {
            let root = agent_sdk::session::root_tracking("keeps")?;
            let mut main = root.tracking("main", "1", "")?;
            let named: Option<Named> = main.last_processed().and_then(|text| serde_json::from_str(&text).ok());
            let below = root.tracking("project", "1", "")?;
            let mut known = Known::open(&below, &named.clone().unwrap_or_default(), named.is_none())?.unwrap();
            config.add.iter().for_each(|id| known.insert(*id));
            config.take.iter().for_each(|id| known.remove(*id));
            let named = known.named()?;
            main.checkpoint(&json!(named).to_string())?;
            known.checkpoint()?;
            let mut result = ExportResult::new();
            let sum: u64 = known.ids().iter().sum();
            result.exported(known.ids().len().to_string(), format!("{sum} in {} pages", named.known_pages));
            known.done()?;
            main.done(None)?;
            below.done(None)?;
            root.done(None)?;
            Ok(result)
        }
    }

    fn run(host: &Host, add: &Ids, take: &Ids) -> (String, String) {
        let ids = |ids: &Ids| ids.iter().collect::<Vec<_>>();
        let run = host.export::<Keeps>(json!({ "add": ids(add), "take": ids(take) })).ok();
        let project = run.result.unwrap().projects.remove(0);
        (project.ref_id, project.name.unwrap_or_default())
    }

    #[test]
    fn few_stand_in_the_cursor_and_many_in_pages_and_all_come_back() {
        let host = Host::new();
        let none = Ids::new();
        let few: Ids = (1..=100).collect();
        assert_eq!(run(&host, &few, &none), ("100".into(), "5050 in 0 pages".into()));
        // Far apart, so that each takes some bytes; and not in their order.
        let far = |place: u64| 1_000_000 + (place * 7_919 % 40_000) * 104_729;
        let mut all: Ids = few.iter().collect();
        for part in 0..8 {
            let some: Ids = (part * 5_000..(part + 1) * 5_000).map(far).collect();
            all.extend(some.iter());
            let (count, _) = run(&host, &some, &none);
            assert_eq!(count, all.len().to_string());
        }
        let (_, named) = run(&host, &none, &none);
        let pages: usize = named.split(' ').nth(2).unwrap().parse().unwrap();
        assert!(all.to_text().len() > 3 * PAGE_BYTES_MAX && pages >= 4, "{named}");
        assert!(named.starts_with(&format!("{} ", all.iter().sum::<u64>())), "{named}");
        for page in 1..=pages {
            let cursor = host.cursor(&format!("keeps/1/project/{page}/ids")).unwrap();
            assert!(cursor.len() <= PAGE_BYTES_MAX + 100, "{}", cursor.len());
        }
        assert!(host.cursor("keeps/1/main").unwrap().len() < CURSOR_BYTES_MAX);
        // Those that go are gone from their pages, from all of them.
        let gone: Ids = all.iter().step_by(3).collect();
        let left: Ids = all.iter().filter(|id| !gone.contains(*id)).collect();
        assert_eq!(run(&host, &none, &gone).0, left.len().to_string());
        let (count, named) = run(&host, &none, &none);
        assert_eq!(
            (count, named.split(' ').next().unwrap().to_owned()),
            (left.len().to_string(), left.iter().sum::<u64>().to_string())
        );
    }
}
