//! What is at a folder sink: the union of its files, as lines and how often each is there. Left to others: who put them
//! there, and what should be there.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// How often each line is there.
pub type Union = BTreeMap<Vec<u8>, i64>;

/// Reads every file that is complete by its name.
pub fn union(folder: &Path) -> Union {
    let mut union = Union::new();
    add(folder, &mut union);
    union
}

fn add(folder: &Path, union: &mut Union) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            add(&path, union);
        } else if name.ends_with(".ndjson") {
            add_lines(&path, &fs::read(&path).unwrap(), union);
        } else if name.ends_with(".ndjson.zst") {
            let plain = zstd::stream::decode_all(fs::File::open(&path).unwrap());
            add_lines(&path, &plain.unwrap_or_else(|error| panic!("{}: {error}", path.display())), union);
        } else {
            assert!(name.starts_with('.'), "what is {}?", path.display());
        }
    }
}

fn add_lines(path: &Path, bytes: &[u8], union: &mut Union) {
    assert!(bytes.ends_with(b"\n"), "{} ends in the middle of a line, after {} bytes", path.display(), bytes.len());
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        *union.entry(line.to_vec()).or_default() += 1;
    }
}

/// Files that nobody finished.
pub fn unfinished(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .map(|entry| entry.unwrap().path())
        .map(|path| match path.is_dir() {
            true => unfinished(&path),
            false => usize::from(path.extension().is_some_and(|suffix| suffix == "tmp")),
        })
        .sum()
}

/// What is lost and what is there too often, in words; none if the two are the same.
pub fn difference(expected: &Union, found: &Union) -> Option<String> {
    let count = |union: &Union, line: &[u8]| union.get(line).copied().unwrap_or(0);
    let surplus = |of: &Union, over: &Union| -> (i64, String) {
        let (mut lines, mut examples, mut shown) = (0, String::new(), 0);
        for (line, times) in of {
            let more = times - count(over, line);
            if more > 0 {
                lines += more;
                shown += 1;
                if shown <= 3 {
                    let text = String::from_utf8_lossy(&line[..line.len().min(100)]).into_owned();
                    let _ = write!(examples, "\n  {more} times {}", text.trim_end());
                }
            }
        }
        (lines, examples)
    };
    let (lost, lost_examples) = surplus(expected, found);
    let (repeated, repeated_examples) = surplus(found, expected);
    (lost + repeated > 0)
        .then(|| format!("{lost} lines are lost{lost_examples}\n{repeated} are there too often{repeated_examples}"))
}
