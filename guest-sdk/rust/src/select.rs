//! Which parts of a source to export, by lists of patterns as `.gitignore` has them: what is to be taken (`inclusions`) and
//! what of it is not (`exclusions`). The names that are judged are paths, `owner/project` for example.
//!
//! | Pattern | Matches |
//! |---|---|
//! | `project` | a part of this name at any level, and all below it |
//! | `/owner` | `owner` at the top, and all below it |
//! | `owner/pro*` | below `owner`, what begins so; `*` and `?` never match a `/`, `[a-z]` and `[!a-z]` are single characters |
//! | `**/x`, `x/**`, `a/**/b` | across levels |
//! | `!pattern` | takes back what a pattern before it matched; the last that matches decides |
//! | `# …`, an empty one | nothing: a comment |
//!
//! Capitals do not matter, because names of repositories and projects are the same in any. As with git, nothing can be taken
//! back below a part that is matched itself. The rules are git's own: the tests ask `git check-ignore`.

/// One list of patterns, in order.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    /// Whether it takes back (`!`).
    negated: bool,
    /// Segments in lower case; `**` stands for any number of them.
    segments: Vec<String>,
}

impl Patterns {
    /// Reads patterns, one in each text.
    pub fn new<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Patterns {
        Patterns { patterns: patterns.into_iter().filter_map(|text| Pattern::parse(text.as_ref())).collect() }
    }

    /// Whether there is no pattern at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether the list matches this path, or a part above it.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path = path.to_lowercase();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        (1..=segments.len()).any(|length| {
            let last = self.patterns.iter().rev().find(|pattern| pattern.matches(&segments[..length]));
            last.is_some_and(|pattern| !pattern.negated)
        })
    }
}

/// What is to be taken, and what of it is not.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    inclusions: Patterns,
    exclusions: Patterns,
}

impl Selection {
    /// Takes what `inclusions` match (everything, where there are none) and `exclusions` do not.
    pub fn new<T: AsRef<str>>(
        inclusions: impl IntoIterator<Item = T>,
        exclusions: impl IntoIterator<Item = T>,
    ) -> Selection {
        Selection { inclusions: Patterns::new(inclusions), exclusions: Patterns::new(exclusions) }
    }

    /// Whether it takes this path.
    #[must_use]
    pub fn takes(&self, path: &str) -> bool {
        (self.inclusions.is_empty() || self.inclusions.matches(path)) && !self.exclusions.matches(path)
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Pattern> {
        let text = without_trailing_spaces(text);
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let (negated, text) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        // Everything that is judged can have something below it, so a slash at the end says nothing.
        let text = text.strip_suffix('/').unwrap_or(text).to_lowercase();
        let anchored = text.contains('/');
        let mut segments: Vec<String> = text.trim_start_matches('/').split('/').map(str::to_owned).collect();
        if segments == [""] {
            return None;
        }
        if !anchored {
            segments.insert(0, "**".to_owned());
        }
        Some(Pattern { negated, segments })
    }

    fn matches(&self, path: &[&str]) -> bool {
        segments_match(&self.segments, path)
    }
}

/// Spaces at the end are no part of a pattern, unless the first of them is escaped.
fn without_trailing_spaces(text: &str) -> &str {
    let trimmed = text.trim_end_matches(' ');
    match text.len() > trimmed.len() && trimmed.ends_with('\\') {
        true => &text[..=trimmed.len()],
        false => trimmed,
    }
}

fn segments_match(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        // `a/**` matches what is below `a`, and not `a`.
        (Some((first, [])), _) if first == "**" => !path.is_empty(),
        (Some((first, rest)), below) if first == "**" => {
            segments_match(rest, path) || below.is_some_and(|(_, below)| segments_match(pattern, below))
        }
        (Some((first, rest)), Some((segment, below))) => segment_matches(first, segment) && segments_match(rest, below),
        _ => false,
    }
}

/// Whether a pattern without `/` matches a whole segment. Only the last `*` is gone back to, so that the time is the product
/// of the lengths at most.
fn segment_matches(pattern: &str, segment: &str) -> bool {
    let (pattern, segment): (Vec<char>, Vec<char>) = (pattern.chars().collect(), segment.chars().collect());
    let (mut at, mut read) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while read < segment.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, read));
            at += 1;
            continue;
        }
        if let Some(next) = character_matches(&pattern, at, segment[read]) {
            at = next;
            read += 1;
            continue;
        }
        let Some((star_at, star_read)) = star else { return false };
        star = Some((star_at, star_read + 1));
        (at, read) = (star_at + 1, star_read + 1);
    }
    pattern[at..].iter().all(|left| *left == '*')
}

/// Where the pattern goes on, if what stands at `at` matches this character.
fn character_matches(pattern: &[char], at: usize, character: char) -> Option<usize> {
    match *pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => class_matches(pattern, at, character),
        '\\' => (pattern.get(at + 1) == Some(&character)).then_some(at + 2),
        literal => (literal == character).then_some(at + 1),
    }
}

/// `[abc]`, `[a-z]`, `[!a-z]`; a `]` that comes first stands for itself. One that is not closed matches nothing.
fn class_matches(pattern: &[char], open: usize, character: char) -> Option<usize> {
    let mut at = open + 1;
    let negated = matches!(pattern.get(at), Some('!' | '^'));
    at += usize::from(negated);
    let (first, mut found) = (at, false);
    loop {
        let mut low = *pattern.get(at)?;
        if low == ']' && at > first {
            return (found != negated).then_some(at + 1);
        }
        if low == '\\' {
            at += 1;
            low = *pattern.get(at)?;
        }
        let range = pattern.get(at + 1) == Some(&'-') && pattern.get(at + 2).is_some_and(|high| *high != ']');
        let high = if range { *pattern.get(at + 2)? } else { low };
        found |= (low..=high).contains(&character);
        at += if range { 3 } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{Patterns, Selection};

    /// Pattern lists, and paths to judge. What is expected is what git says.
    const LISTS: &[&[&str]] = &[
        &["project"],
        &["/acme"],
        &["acme/"],
        &["acme/*"],
        &["acme/web-*", "!acme/web-shop"],
        &["*", "!acme", "acme/*", "!acme/web-?"],
        &["!acme", "*"],
        &["**/tools"],
        &["acme/**"],
        &["acme/**/tools"],
        &["**"],
        &["web-[a-m]*"],
        &["web-[!a-m]*"],
        &["web-[]a]"],
        &["w*-*p"],
        &["\\#odd", "# comment", "", "\\!odd"],
        &["project  "],
        &["ACME/Project"],
        &["/"],
        &["acme", "!acme/project"],
        &["*/project"],
        &["a?me/pro[jk]ect"],
        &["web-[a-", "x"],
    ];
    const PATHS: &[&str] = &[
        "acme/project",
        "acme/web-shop",
        "acme/web-1",
        "acme/tools",
        "acme/a/b/tools",
        "other/project",
        "other/tools",
        "other/web-a",
        "other/web-z",
        "project/x",
        "acme/#odd",
        "acme/!odd",
        "Acme/Project",
        "acme/x",
        "other/web-]",
    ];

    #[test]
    fn git_judges_the_same() {
        let folder = std::env::temp_dir().join(format!("agent-sdk-select-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for path in PATHS {
            std::fs::create_dir_all(folder.join(path)).unwrap();
        }
        // Folders, as everything is here. Not asked with a slash at the end: git would judge what has no name below it.
        std::fs::write(folder.join("paths"), PATHS.join("\n")).unwrap();
        let git = |arguments: &[&str]| {
            let paths = std::fs::File::open(folder.join("paths")).unwrap();
            Command::new("git").args(arguments).current_dir(&folder).stdin(paths).output().unwrap()
        };
        assert!(git(&["init", "-q"]).status.success());
        for list in LISTS {
            std::fs::write(folder.join(".gitignore"), format!("{}\n", list.join("\n"))).unwrap();
            let patterns = Patterns::new(*list);
            let said = git(&["-c", "core.ignorecase=true", "check-ignore", "--no-index", "--stdin"]);
            // 1 is no failure: it ignores none of them.
            assert!(matches!(said.status.code(), Some(0 | 1)), "{said:?}");
            let said = String::from_utf8(said.stdout).unwrap();
            for path in PATHS {
                assert_eq!(patterns.matches(path), said.lines().any(|line| line == *path), "{path} by {list:?}");
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_is_included_and_not_excluded_is_taken() {
        let none: [&str; 0] = [];
        let all = Selection::new(none, none);
        assert!(all.takes("acme/project"));
        let some = Selection::new(["acme/*"], ["*-old"]);
        assert!(some.takes("acme/shop") && !some.takes("acme/shop-old") && !some.takes("other/shop"));
        // Nothing is tried more often than the lengths allow.
        let slow = Patterns::new(["*a*a*a*a*a*a*a*a*a*a*b"]);
        assert!(!slow.matches(&"a".repeat(10_000)));
    }
}
