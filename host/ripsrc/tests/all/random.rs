//! Histories made at random from a seed: edits, moves, copies, merges, in files with many equal lines.

use crate::repo::{Do, Mark, Repo};
use std::collections::BTreeMap;

/// A small generator of numbers; the same seed gives the same history everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1))
    }
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end.max(1)
    }
}

type Files = BTreeMap<String, Vec<String>>;

fn line(random: &mut Random) -> String {
    let indent = "    ".repeat(random.below(4));
    match random.below(6) {
        0 => String::new(),
        1 => format!("{indent}}}"),
        2 => format!("{indent}return;"),
        _ => format!("{indent}call({});", random.below(60)),
    }
}

fn edit(random: &mut Random, text: &mut Vec<String>) {
    for _ in 0..=random.below(4) {
        let at = random.below(text.len() + 1);
        let count = random.below(6).min(text.len() - at);
        match random.below(4) {
            0 => drop(text.drain(at..at + count)),
            1 => text.splice(at..at, (0..count).map(|_| line(random)).collect::<Vec<_>>()).for_each(drop),
            2 => {
                // A piece is repeated elsewhere.
                let piece = text[at..at + count].to_vec();
                let to = random.below(text.len() + 1);
                text.splice(to..to, piece).for_each(drop);
            }
            _ => text.splice(at..at + count, (0..count + 1).map(|_| line(random)).collect::<Vec<_>>()).for_each(drop),
        }
    }
}

fn change(random: &mut Random, files: &mut Files) {
    let names: Vec<String> = files.keys().cloned().collect();
    for _ in 0..=random.below(3) {
        let any = names.get(random.below(names.len())).filter(|name| files.contains_key(*name)).cloned();
        let new = format!("{}/{}", ["a", "b", "a/c"][random.below(3)], random.below(40));
        // A name may be taken by a folder; then nothing happens.
        match (random.below(10), any) {
            (0, Some(name)) => drop(files.remove(&name)),
            (1, Some(name)) => {
                if let Some(mut text) = files.remove(&name) {
                    if random.below(2) == 0 {
                        edit(random, &mut text);
                    }
                    files.insert(new, text);
                }
            }
            (2, Some(name)) => {
                let text = files[&name].clone();
                files.insert(new, text);
            }
            (3, _) | (_, None) => {
                let count = random.below(80);
                files.insert(new, (0..count).map(|_| line(random)).collect());
            }
            (_, Some(name)) => edit(random, files.get_mut(&name).unwrap()),
        }
    }
}

fn text(lines: &[String], whole: bool) -> Vec<u8> {
    let mut text = lines.join("\n").into_bytes();
    if whole && !lines.is_empty() {
        text.push(b'\n');
    }
    text
}

/// Adds `count` commits on up to four branches.
pub fn history(repo: &mut Repo, seed: u64, count: usize) -> Vec<Mark> {
    let mut random = Random::new(seed);
    let mut tips: Vec<(Mark, Files)> = vec![];
    let mut marks = vec![];
    for _ in 0..count {
        let at = random.below(tips.len().min(3) + 1).min(3);
        let branch = format!("b{at}");
        let (mut parents, mut files) = match tips.get(at) {
            Some((tip, files)) => (vec![*tip], files.clone()),
            // A new branch begins at another one's tip, rarely at nothing.
            None if !tips.is_empty() && random.below(5) > 0 => {
                let (tip, files) = &tips[random.below(tips.len())];
                (vec![*tip], files.clone())
            }
            None => (vec![], Files::new()),
        };
        if tips.len() > 1 && random.below(5) == 0 {
            let (other, theirs) = &tips[random.below(tips.len())];
            if !parents.contains(other) {
                parents.push(*other);
                for (name, text) in theirs {
                    match random.below(4) {
                        0 => drop(files.insert(name.clone(), text.clone())),
                        1 => {
                            // As a merge does it: some of the one, some of the other.
                            let ours = files.entry(name.clone()).or_default();
                            let at = random.below(ours.len().min(text.len()) + 1);
                            ours.truncate(at);
                            ours.extend_from_slice(&text[at..]);
                        }
                        _ => {}
                    }
                }
            }
        } else {
            change(&mut random, &mut files);
        }
        let names: Vec<(&String, Vec<u8>)> =
            files.iter().map(|(name, lines)| (name, text(lines, name.len() % 3 > 0))).collect();
        let mut changes = vec![Do::Clear];
        changes.extend(names.iter().map(|(name, text)| Do::Write(name.as_bytes(), text.clone())));
        let mark = repo.commit(&branch, &parents, &changes);
        marks.push(mark);
        if at < tips.len() {
            tips[at] = (mark, files);
        } else {
            tips.push((mark, files));
        }
    }
    marks
}
