//! What commits say of themselves, well written and badly: git is asked for each.

use crate::hostile::{entry, object};
use crate::repo::{Repo, write};
use ripsrc::{Oid, Options, Record};

/// Name, address and date of author and committer, subject, as records tell them.
fn told(repo: &Repo) -> Result<Vec<String>, String> {
    let mut told = vec![];
    let take = &mut |record: Record<'_>| {
        if let Record::Commit(commit) = record {
            let person =
                |person: &ripsrc::Person, at: ripsrc::Moment| [person.name.clone(), person.email.clone(), at.rfc3339()];
            told.extend(person(commit.author, commit.authored));
            told.extend(person(commit.committer, commit.committed));
            told.push(commit.subject.to_owned());
            told.push(commit.parents.iter().map(Oid::to_string).collect::<Vec<_>>().join(" "));
        }
        Ok(())
    };
    repo.open().code(&Options::default(), take).map_err(|error| format!("{error:?}"))?;
    Ok(told)
}

/// The same from git. None if it refuses the commit.
fn asked(repo: &Repo) -> Option<Vec<String>> {
    let format = "--format=%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%s%x00%P";
    let output = repo.command().args(["log", "--no-walk", "--encoding=UTF-8", format, "main"]).output().unwrap();
    let text = output.stdout.strip_suffix(b"\n")?;
    // Git writes a zone of nothing as Z.
    let field = |field: &[u8]| {
        let text = String::from_utf8_lossy(field).into_owned();
        match text.strip_suffix('Z').filter(|text| text.len() == 19) {
            Some(text) => format!("{text}+00:00"),
            None => text,
        }
    };
    Some(text.split(|byte| *byte == 0).map(field).collect())
}

fn set(repo: &Repo, text: &[u8]) {
    let oid = object(repo, "commit", text);
    std::fs::write(repo.path().join("refs/heads/main"), format!("{oid}\n")).unwrap();
}

#[test]
fn people_dates_and_subjects_are_read_as_git_reads_them() {
    let repo = Repo::new();
    let blob = object(&repo, "blob", b"x\n");
    let tree = object(&repo, "tree", &entry("100644", b"f", &blob));
    let plain = "C <c@d> 1600000000 -0730";
    let authors: [&[u8]; 16] = [
        b"A B <a@b> 1600000000 +0130",
        b"  A   B   <  a@b  > 1600000000 +0130",
        b"<a@b> 1600000000 +0130",
        b"A <> 1600000000 +0130",
        b"A <a@b> 1313584730 +518:00",
        b"A <a@b> 1600000000 -0000",
        b"A <a@b> 1600000000 +0000",
        b"A <a>b> 1600000000 +0100",
        b"A <a <b@c> 1600000000 +0100",
        b"A <a@b>   1600000000   +0100",
        b"A <a@b> 0 +0000",
        b"A <a@b> 1600000000 +1400",
        b"A <a@b> 253402300799 +0000",
        "Ä Ö <ä@ö> 1600000000 +0100".as_bytes(),
        b"caf\xe9 <a@b> 1600000000 +0100",
        b"A\tB <a\tb> 1600000000 +0100",
    ];
    for author in authors {
        let text = [b"tree ", tree.as_bytes(), b"\nauthor ", author, b"\ncommitter ", plain.as_bytes(), b"\n\nm\n"];
        set(&repo, &text.concat());
        assert_eq!(told(&repo).unwrap(), asked(&repo).unwrap(), "{}", author.escape_ascii());
    }
    let messages: [&[u8]; 14] = [
        b"",
        b"one",
        b"one\n",
        b"\n\n  one\n",
        b"one\ntwo\n\nthree\n",
        b"one  \n two\t\n   \nthree\n",
        b"\r\none\r\ntwo\r\n\r\nthree",
        b"one\0two\n",
        b"\0",
        b"caf\xe9\n",
        b"  \t\n\x0b\none\n",
        "ü\u{85}\n".as_bytes(),
        b"tree 1\nparent 2\n\n",
        b"one\n\xc2\xa0\ntwo",
    ];
    for message in messages {
        let text = format!("tree {tree}\nauthor {plain}\ncommitter {plain}\n\n");
        set(&repo, &[text.as_bytes(), message].concat());
        assert_eq!(told(&repo).unwrap(), asked(&repo).unwrap(), "{}", message.escape_ascii());
    }
    for encoding in ["ISO-8859-1", "latin1", "iso8859-1"] {
        let text = format!("tree {tree}\nauthor {plain}\ncommitter {plain}\nencoding {encoding}\n\n");
        set(&repo, &[text.as_bytes(), b"caf\xe9 \x80\n"].concat());
        assert_eq!(told(&repo).unwrap(), asked(&repo).unwrap(), "{encoding}");
    }
}

/// A line that the reader does not understand must not become a history that is silently shorter.
#[test]
fn parents_are_read_as_git_reads_them() {
    let mut repo = Repo::new();
    let first = repo.commit("main", &[], &[write("f", "x\n")]);
    repo.import();
    let parent = repo.oid(first);
    let blob = object(&repo, "blob", b"x\ny\n");
    let tree = object(&repo, "tree", &entry("100644", b"f", &blob));
    let who = "author A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000";
    for head in [
        format!("tree {tree}\nparent {parent}\n{who}"),
        format!("tree {tree}\nparent {parent}\nparent {parent}\n{who}"),
        format!("tree {tree}\n{who}\nparent {parent}"),
        format!("tree {tree}\nauthor A <a@b> 1 +0000\nparent {parent}\ncommitter A <a@b> 1 +0000"),
        format!("tree {tree}\nparent {parent}\n{who}\ngpgsig one\n parent {parent}\n two"),
        format!("tree {tree}\nparent nonsense\n{who}"),
        format!("tree {tree}\nparent {parent} \n{who}"),
        format!("parent {parent}\ntree {tree}\n{who}"),
        format!("tree {tree}\ntree {tree}\nparent {parent}\n{who}"),
        format!("tree {tree}"),
        format!("{who}\ntree {tree}"),
    ] {
        set(&repo, format!("{head}\n\nm\n").as_bytes());
        let git = repo.command().args(["rev-list", "--parents", "main"]).output().unwrap();
        let mine = told(&repo);
        assert_eq!(mine.is_ok(), git.status.success(), "{head}\n{mine:?}");
        if git.status.success() {
            let lines = String::from_utf8(git.stdout).unwrap();
            let parents: Vec<String> =
                lines.lines().rev().map(|line| line.split(' ').skip(1).collect::<Vec<_>>().join(" ")).collect();
            let mine: Vec<String> = mine.unwrap().chunks(8).map(|commit| commit[7].clone()).collect();
            assert_eq!(mine, parents, "{head}");
        }
    }
}

/// Names of a million bytes and messages of ten are told whole, and the schema's limits are not ours to set.
#[test]
fn huge_metadata() {
    let repo = Repo::new();
    let blob = object(&repo, "blob", b"x\n");
    let tree = object(&repo, "tree", &entry("100644", b"f", &blob));
    let name = "n".repeat(1 << 20);
    let message = "word ".repeat(2 << 20);
    let who = format!("{name} <{name}@example.org> 1600000000 +0000");
    set(&repo, format!("tree {tree}\nauthor {who}\ncommitter {who}\n\n{message}\n").as_bytes());
    assert!(told(&repo).unwrap() == asked(&repo).unwrap());
}
