//! Counts folders of files and says how fast: `count [--files] [--rounds N] FOLDER…`. Each round after the first meets
//! lines that were read before, as the versions of a file in a history do. With `--files` a line for each file; with
//! `--show FILE` the lines of one file, each after its letter. A whole history is counted from git's pipe:
//! `git log --reverse --raw --no-abbrev --no-renames --format= | awk '$5 != "D" {print $4 "\t" $6}' > LIST` and then
//! `cut -f1 LIST | git cat-file --batch | count --history LIST`.

use ripsrc::count::{Counter, FileFacts, Options};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut rounds, mut each, mut folders) = (3, false, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--files" => each = true,
            "--rounds" => rounds = arguments.next().ok_or("--rounds wants a number")?.parse()?,
            "--show" => return show(Path::new(&arguments.next().ok_or("--show wants a file")?)),
            "--history" => return history(Path::new(&arguments.next().ok_or("--history wants a list")?)),
            folder => folders.push(PathBuf::from(folder)),
        }
    }
    let mut files = Vec::new();
    for folder in &folders {
        read_folder(folder, folder, &mut files)?;
    }
    let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    // As a caller has them who has split and hashed the lines for its own ends.
    let lines: Vec<Vec<(&[u8], u64)>> = files.iter().map(|(_, content)| split(content)).collect();
    // One for each way of asking, since their hashes differ.
    let (mut counter, mut given) = (Counter::new(Options::default()), Counter::new(Options::default()));
    for round in 1..=rounds {
        let start = seconds();
        let facts: Vec<FileFacts> = files.iter().map(|(path, content)| counter.count(path, content)).collect();
        let time = seconds() - start;
        if round == 1 {
            report(&files, &facts, each);
        }
        let start = seconds();
        for ((path, content), lines) in files.iter().zip(&lines) {
            given.count_lines(path, content, lines.iter().copied());
        }
        let time_given = seconds() - start;
        let counted: u64 = facts.iter().filter(|facts| facts.skipped.is_none()).map(|facts| facts.size).sum();
        let lines: u64 = facts.iter().map(|facts| facts.lines).sum();
        eprintln!(
            "round {round}: {} files, {:.1} MB, {time:.3} s; {:.1} MB and {lines} lines of it counted, {:.0} MB/s, {:.0} MB/s with lines given",
            files.len(),
            bytes as f64 / 1e6,
            counted as f64 / 1e6,
            bytes as f64 / 1e6 / time,
            bytes as f64 / 1e6 / time_given
        );
    }
    Ok(())
}

/// Time that this thread has run, which a busy machine changes little.
fn seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to the place that it is given, and to nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(failed, 0, "every Unix has this clock");
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn split(content: &[u8]) -> Vec<(&[u8], u64)> {
    let hash =
        |line: &[u8]| line.iter().fold(0, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3));
    content.split_inclusive(|byte| *byte == b'\n').map(|line| (line, hash(line))).collect()
}

fn show(path: &Path) -> Result<(), Box<dyn Error>> {
    let content = std::fs::read(path)?;
    let facts = Counter::new(Options::default()).count(path.as_os_str().as_encoded_bytes(), &content);
    println!("{:?} {:?} {}", facts.language.map(|language| language.name()), facts.skipped, facts.complexity);
    for (letter, line) in facts.classes.chars().zip(content.split(|byte| *byte == b'\n')) {
        println!("{letter} {}", String::from_utf8_lossy(line));
    }
    Ok(())
}

/// Counts versions as they come, and says what that took beside splitting and hashing.
fn history(list: &Path) -> Result<(), Box<dyn Error>> {
    let list = std::fs::read(list)?;
    let mut input = std::io::stdin().lock();
    let mut counter = Counter::new(Options::default());
    let (mut splitting, mut counting, mut bytes, mut lines, mut counted, mut versions) = (0.0, 0.0, 0, 0, 0, 0);
    for row in list.split(|byte| *byte == b'\n').filter(|row| !row.is_empty()) {
        let tab = row.iter().position(|byte| *byte == b'\t').ok_or("no tab")?;
        let mut header = String::new();
        input.read_line(&mut header)?;
        let Some(size) = header.trim_end().split("blob ").nth(1) else { continue };
        let mut content = vec![0; size.parse::<usize>()? + 1];
        input.read_exact(&mut content)?;
        content.pop();
        let start = seconds();
        let split = split(&content);
        let middle = seconds();
        let facts = counter.count_lines(&row[tab + 1..], &content, split.iter().copied());
        counting += seconds() - middle;
        splitting += middle - start;
        bytes += content.len();
        lines += split.len();
        counted += facts.lines;
        versions += 1;
    }
    let rate = bytes as f64 / 1e6 / counting;
    eprintln!(
        "{versions} versions, {:.1} MB, {lines} lines, {counted} of them counted: {counting:.3} s, {rate:.0} MB/s \
         (beside {splitting:.3} s to split and hash)",
        bytes as f64 / 1e6
    );
    Ok(())
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Box<dyn Error>> {
    let mut entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            read_folder(root, &path, files)?;
        } else if kind.is_file() {
            let name = path.strip_prefix(root)?.as_os_str().as_encoded_bytes().to_vec();
            files.push((name, std::fs::read(&path)?));
        }
    }
    Ok(())
}

fn report(files: &[(Vec<u8>, Vec<u8>)], facts: &[FileFacts], each: bool) {
    let mut languages: BTreeMap<String, [u64; 6]> = BTreeMap::new();
    for ((path, _), facts) in files.iter().zip(facts) {
        let name = match (&facts.skipped, facts.language) {
            (Some(reason), _) => {
                format!("({reason})").split_once(" was ").map_or(format!("({reason})"), |p| p.1.into())
            }
            (None, language) => language.map_or("-", |language| language.name()).to_owned(),
        };
        if each {
            let FileFacts { lines, sloc, comments, blanks, complexity, .. } = facts;
            let path = String::from_utf8_lossy(path);
            println!("{path}\t{name}\t{lines}\t{sloc}\t{comments}\t{blanks}\t{complexity}");
        }
        let sums = languages.entry(name).or_default();
        let of_file = [1, facts.lines, facts.sloc, facts.comments, facts.blanks, facts.complexity];
        sums.iter_mut().zip(of_file).for_each(|(sum, of_file)| *sum += of_file);
    }
    if !each {
        println!(
            "{:30} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "", "files", "lines", "code", "comment", "blank", "decisions"
        );
        for (name, [files, lines, code, comments, blanks, complexity]) in languages {
            println!("{name:30} {files:7} {lines:9} {code:9} {comments:9} {blanks:9} {complexity:9}");
        }
    }
}
