//! Graphs drawn by hand, each with one thing that is easily got wrong, and graphs drawn at random. Git is asked about
//! every file at every commit.

use crate::repo::{Do, Repo, lines, write};

/// A file of numbered lines with some replaced.
fn edited(name: &str, count: usize, edits: &[(usize, &str)]) -> String {
    let mut text: Vec<String> = lines(name, count).lines().map(str::to_owned).collect();
    for (at, line) in edits {
        text[*at] = (*line).to_owned();
    }
    text.iter().map(|line| format!("{line}\n")).collect()
}

fn check(script: impl FnOnce(&mut Repo)) {
    let mut repo = Repo::new();
    script(&mut repo);
    repo.agree();
}

#[test]
fn a_line_of_commits() {
    check(|repo| {
        let a = repo.commit("main", &[], &[write("f", lines("x", 50)), write("empty", "")]);
        let b = repo.commit("main", &[a], &[write("f", edited("x", 50, &[(3, "new"), (40, "newer")]))]);
        let c = repo.commit("main", &[b], &[write("f", lines("x", 50)), write("dir/g", "a\nb")]);
        let d = repo.commit("main", &[c], &[]);
        let e = repo.commit("main", &[d], &[write("dir/g", "a\nb\n"), write("empty", "no longer\n")]);
        let f = repo.commit("main", &[e], &[write("dir/g", "a\nb"), Do::Remove(b"f")]);
        repo.commit("main", &[f], &[write("f", lines("x", 50)), write("empty", "")]);
    });
}

#[test]
fn merges_with_and_without_conflicts() {
    check(|repo| {
        let base = repo.commit("main", &[], &[write("f", lines("x", 40)), write("g", lines("y", 40))]);
        let left = repo.commit("main", &[base], &[write("f", edited("x", 40, &[(2, "left"), (20, "both")]))]);
        let right = repo.commit("side", &[base], &[write("f", edited("x", 40, &[(30, "right"), (20, "both")]))]);
        let right =
            repo.commit("side", &[right], &[write("g", edited("y", 40, &[(1, "right")])), write("only", "side\n")]);
        let merged = edited("x", 40, &[(2, "left"), (20, "both"), (30, "right")]);
        let merge = repo.commit(
            "main",
            &[left, right],
            &[write("f", merged), write("g", edited("y", 40, &[(1, "right")])), write("only", "side\n")],
        );
        // An evil merge: lines that no parent has, and a file that none has; another file is gone in the merge alone.
        let more = repo.commit("side", &[right], &[write("f", edited("x", 40, &[(30, "right"), (10, "more")]))]);
        let evil = edited("x", 40, &[(2, "left"), (20, "evil"), (10, "more"), (35, "evil too")]);
        repo.commit("main", &[merge, more], &[write("f", evil), write("new", "from the merge\n"), Do::Remove(b"g")]);
    });
}

#[test]
fn an_octopus() {
    check(|repo| {
        let base = repo.commit("main", &[], &[write("f", lines("x", 60)), write("g", "one\n")]);
        let arms: Vec<_> = (0..4usize)
            .map(|at| {
                let line = format!("arm {at}");
                let text = edited("x", 60, &[(at * 12, &line), (50, "same")]);
                let file = format!("arm{at}");
                repo.commit(&format!("b{at}"), &[base], &[write("f", text), write(&file, lines(&line, 5))])
            })
            .collect();
        let text =
            edited("x", 60, &[(0, "arm 0"), (12, "arm 1"), (24, "arm 2"), (36, "arm 3"), (50, "same"), (59, "evil")]);
        let mut changes = vec![write("f", text)];
        let files: Vec<String> = (0..4).map(|at| format!("arm{at}")).collect();
        changes.extend(files.iter().enumerate().map(|(at, file)| write(file, lines(&format!("arm {at}"), 5))));
        repo.commit("main", &arms, &changes);
    });
}

#[test]
fn a_criss_cross() {
    check(|repo| {
        let base = repo.commit("main", &[], &[write("f", lines("x", 30))]);
        let a = repo.commit("a", &[base], &[write("f", edited("x", 30, &[(3, "a")]))]);
        let b = repo.commit("b", &[base], &[write("f", edited("x", 30, &[(20, "b")]))]);
        let both = edited("x", 30, &[(3, "a"), (20, "b")]);
        let ab = repo.commit("a", &[a, b], &[write("f", both.clone())]);
        let ba = repo.commit("b", &[b, a], &[write("f", both)]);
        let ab = repo.commit("a", &[ab], &[write("f", edited("x", 30, &[(3, "a"), (20, "b"), (10, "aa")]))]);
        let ba = repo.commit("b", &[ba], &[write("f", edited("x", 30, &[(3, "a"), (20, "b"), (25, "bb")]))]);
        let all = edited("x", 30, &[(3, "a"), (20, "b"), (10, "aa"), (25, "bb")]);
        repo.commit("main", &[ab, ba], &[write("f", all)]);
    });
}

#[test]
fn renames_with_edits() {
    check(|repo| {
        let a = repo.commit("main", &[], &[write("dir/old.c", lines("x", 40)), write("other.c", lines("z", 40))]);
        let b = repo.commit("main", &[a], &[Do::Rename(b"dir/old.c", b"dir/new.c")]);
        let moved = edited("x", 40, &[(1, "moved"), (2, "and"), (3, "edited")]);
        let c = repo.commit("main", &[b], &[Do::Remove(b"dir/new.c"), write("lib/new.c", moved)]);
        // A file split in two: git log names one of them renamed, git blame follows both.
        let half: String = lines("z", 24);
        let rest: String = lines("z", 40).lines().skip(10).map(|line| format!("{line}\n")).collect();
        let d = repo.commit("main", &[c], &[Do::Remove(b"other.c"), write("one.c", half), write("two.c", rest)]);
        // Below half: a new file.
        let less: String = lines("z", 9) + &lines("w", 12);
        let e = repo.commit("main", &[d], &[Do::Remove(b"one.c"), write("three.c", less)]);
        // A whole folder moves, with files of the same content and of the same name.
        let f =
            repo.commit("main", &[e], &[write("p/a", "same\n"), write("p/b", "same\n"), write("q/a", lines("q", 9))]);
        let g = repo.commit("main", &[f], &[Do::Rename(b"p", b"r"), Do::Rename(b"q/a", b"r/q/a")]);
        repo.commit("main", &[g], &[Do::Copy(b"r/q/a", b"copied"), Do::Rename(b"r/a", b"r/z")]);
    });
}

#[test]
fn swaps_and_rings() {
    check(|repo| {
        let (x, y, z) = (lines("x", 20), lines("y", 20), lines("z", 20));
        let a = repo.commit("main", &[], &[write("x", x.clone()), write("y", y.clone()), write("z", z.clone())]);
        let b = repo.commit("main", &[a], &[write("x", y.clone()), write("y", x.clone())]);
        let c = repo.commit("main", &[b], &[write("x", x), write("y", z), write("z", y)]);
        // A file becomes a folder and the other way round.
        let d = repo.commit("main", &[c], &[Do::Remove(b"x"), write("x/inside", lines("x", 20))]);
        repo.commit("main", &[d], &[Do::Remove(b"x/inside"), write("x", lines("x", 19))]);
    });
}

#[test]
fn renames_in_merges() {
    check(|repo| {
        let base = repo.commit("main", &[], &[write("old", lines("x", 40)), write("keep", lines("k", 5))]);
        let left = repo.commit("main", &[base], &[Do::Rename(b"old", b"new")]);
        let right = repo.commit("side", &[base], &[write("old", edited("x", 40, &[(5, "right")]))]);
        let merge = repo.commit("main", &[left, right], &[write("new", edited("x", 40, &[(5, "right")]))]);
        let left = repo.commit("main", &[merge], &[write("new", edited("x", 40, &[(5, "right"), (30, "left")]))]);
        let right = repo.commit("side", &[right], &[Do::Rename(b"old", b"third"), write("keep", lines("k", 9))]);
        let text = edited("x", 40, &[(5, "right"), (30, "left"), (35, "merge")]);
        repo.commit(
            "main",
            &[right, left],
            &[Do::Remove(b"third"), write("fourth", text), write("keep", lines("k", 7))],
        );
    });
}

#[test]
fn modes_links_and_submodules() {
    check(|repo| {
        let oid = "1111111111111111111111111111111111111111";
        let a = repo.commit("main", &[], &[write("run", lines("x", 9)), Do::Mode(b"link", "120000", b"run".to_vec())]);
        let b =
            repo.commit("main", &[a], &[Do::Mode(b"run", "100755", lines("x", 9).into()), Do::Submodule(b"sub", oid)]);
        let c = repo.commit("main", &[b], &[Do::Mode(b"run", "100755", lines("x", 10).into())]);
        let other = "2222222222222222222222222222222222222222";
        let d =
            repo.commit("main", &[c], &[Do::Submodule(b"sub", other), Do::Mode(b"link", "120000", b"sub".to_vec())]);
        // A link becomes a file, a submodule becomes a folder, a file becomes a link.
        let e = repo.commit(
            "main",
            &[d],
            &[Do::Remove(b"link"), write("link", "sub"), Do::Remove(b"sub"), write("sub/f", "f\n")],
        );
        repo.commit("main", &[e], &[Do::Remove(b"run"), Do::Mode(b"run", "120000", b"link".to_vec())]);
    });
}

#[test]
fn bytes_of_all_kinds() {
    check(|repo| {
        let dos = |text: &str| text.replace('\n', "\r\n");
        let mut binary = lines("x", 20).into_bytes();
        binary[30] = 0;
        let latin = b"caf\xe9\nna\xefve\n\xff\xfe\n".to_vec();
        let a = repo.commit(
            "main",
            &[],
            &[
                Do::Write(b"caf\xe9/\xff\x01.txt", latin.clone()),
                Do::Write("ü ber/\t\"q\"".as_bytes(), lines("u", 9).into()),
                write("dos", dos(&lines("x", 20))),
                write("bin", binary.clone()),
                write("text", lines("x", 20)),
            ],
        );
        let mut more = latin.clone();
        more.extend_from_slice(b"\xfd\n\x80");
        let b = repo.commit(
            "main",
            &[a],
            &[
                Do::Write(b"caf\xe9/\xff\x01.txt", more),
                write("dos", lines("x", 20)),
                write("bin", lines("x", 20)),
                write("text", binary.clone()),
            ],
        );
        binary.extend_from_slice(b"more\n");
        let c = repo.commit(
            "main",
            &[b],
            &[
                write("bin", lines("x", 21)),
                write("text", binary),
                write("dos", dos(&lines("x", 18))),
                Do::Rename("ü ber/\t\"q\"".as_bytes(), b"\xfe"),
            ],
        );
        repo.commit("main", &[c], &[write("text", lines("x", 22)), write("dos", dos(&lines("x", 18)) + "\r\n\r\n")]);
    });
}

#[test]
fn roots_branches_and_clocks() {
    check(|repo| {
        let a = repo.commit("main", &[], &[write("f", lines("x", 20))]);
        let b =
            repo.commit("other", &[], &[write("g", lines("y", 20)), write("f", edited("x", 20, &[(3, "other root")]))]);
        let c = repo.commit_at("main", &[a], 1_000, &[write("f", edited("x", 20, &[(9, "long ago")]))]);
        let d = repo.commit_at("main", &[c], 4_000_000_000, &[write("f", edited("x", 20, &[(9, "far ahead")]))]);
        let e = repo.commit_at("other", &[b], 5, &[write("g", lines("y", 22))]);
        let text = edited("x", 20, &[(9, "far ahead"), (3, "other root")]);
        let f = repo.commit_at("main", &[d, e], 2_000, &[write("f", text), write("g", lines("y", 22))]);
        let g = repo.commit_at("main", &[f], 1, &[write("f", "little\n")]);
        repo.commit("orphan", &[], &[write("alone", lines("o", 3))]);
        repo.commit("late", &[a], &[write("f", lines("x", 25))]);
        repo.commit("main", &[g, f], &[write("f", lines("x", 20))]);
    });
}

/// Places where a change can be told in several ways: git has rules for which of them it means.
#[test]
fn ambiguous_hunks() {
    check(|repo| {
        let block = |n: usize| format!("fn f{n}() {{\n    if a {{\n        b();\n    }}\n\n    c();\n}}\n\n");
        let many = |list: &[usize]| list.iter().map(|n| block(*n)).collect::<String>();
        let mut before = repo.commit("main", &[], &[write("f", many(&[1, 2, 3])), write("g", "a\nb\n".repeat(30))]);
        for (list, count) in [
            (&[1, 2, 4, 3][..], 33),
            (&[1, 1, 2, 4, 3], 31),
            (&[1, 4, 3, 3, 3], 60),
            (&[5, 1, 4, 3, 5], 12),
            (&[5, 5, 5, 5, 5, 1], 40),
            (&[1], 1),
        ] {
            let g = "a\nb\n".repeat(count / 2) + "c\n" + &"a\nb\n".repeat(count - count / 2);
            before = repo.commit("main", &[before], &[write("f", many(list)), write("g", g)]);
        }
    });
}

/// Ten thousand lines, with long common tails, frequent lines and changes too many for the shortest script.
#[test]
fn long_files() {
    check(|repo| {
        let text = |seed: usize, changes: usize| -> String {
            (0..10_000usize)
                .map(|at| match at % 5 {
                    0 => "\n".to_owned(),
                    1 => "}\n".to_owned(),
                    _ if changes > 0 && (at * 7919 + seed) % 10_000 < changes => {
                        format!("changed {seed} {}\n", at % 90)
                    }
                    _ => format!("line {}\n", at % 3000),
                })
                .collect()
        };
        let mut before = repo.commit("main", &[], &[write("long", text(0, 0))]);
        for (seed, changes) in [(1, 3), (2, 200), (3, 3000), (4, 9000), (5, 0)] {
            before = repo.commit("main", &[before], &[write("long", text(seed, changes))]);
        }
        let reversed: String = text(5, 0).lines().rev().map(|line| format!("{line}\n")).collect();
        repo.commit("main", &[before], &[write("long", reversed)]);
    });
}

/// Many files in one folder and in many: only a few of them change.
#[test]
fn wide_trees() {
    let mut repo = Repo::new();
    let names: Vec<String> = (0..50_000).map(|at| format!("wide/{}/file{at}", at % 7)).collect();
    let changes: Vec<Do<'_>> = names.iter().enumerate().map(|(at, name)| write(name, format!("{at}\n"))).collect();
    let mut before = repo.commit("main", &[], &changes);
    for at in [0usize, 777, 49_999] {
        let name = format!("wide/{}/renamed{at}", at % 7);
        let from = &names[at];
        before = repo.commit(
            "main",
            &[before],
            &[Do::Rename(from.as_bytes(), name.as_bytes()), write(&names[at / 2 + 1], "new\n")],
        );
    }
    repo.import();
    let records = repo.records(&Repo::options());
    // Each of the later commits: a rename is two files of the commit, both given out, and one file is modified.
    assert_eq!(records.len(), 1 + 50_000 + 3 * (1 + 3));
    let told = repo.git(&["log", "--format=", "--numstat", "-M", "-3", "main"]).lines().count();
    assert_eq!(told, 6);
}

#[test]
fn names_of_sixty_four_digits() {
    let mut repo = Repo::with_hash("sha256");
    let a = repo.commit("main", &[], &[write("f", lines("x", 30)), write("d/g", "g\n")]);
    let b = repo.commit("main", &[a], &[write("f", edited("x", 30, &[(7, "new")])), Do::Rename(b"d/g", b"d/h")]);
    repo.commit("main", &[b], &[write("f", edited("x", 30, &[(8, "newer")]))]);
    repo.agree();
}

/// Each kind of entry becomes each other kind, with the same bytes and with others, under the same name.
#[test]
fn every_kind_becomes_every_other() {
    let oid = "1111111111111111111111111111111111111111";
    let put = |kind: usize, text: &str| -> Vec<Do<'static>> {
        let text = text.as_bytes().to_vec();
        match kind {
            0 => vec![Do::Write(b"n", text)],
            1 => vec![Do::Mode(b"n", "100755", text)],
            2 => vec![Do::Mode(b"n", "120000", text)],
            3 => vec![Do::Submodule(b"n", oid)],
            4 => vec![Do::Write(b"n/in/side", text)],
            5 => vec![Do::Write(b"n", [text, b"\0".to_vec()].concat())],
            _ => vec![],
        }
    };
    check(|repo| {
        let mut before = repo.commit("main", &[], &[write("other", "o\n")]);
        for from in 0..7 {
            for to in 0..7 {
                for text in [lines("a", 9), lines("b", 9)] {
                    let mut first = vec![Do::Remove(b"n"), write("other", format!("{from} {to}\n"))];
                    first.extend(put(from, &lines("a", 9)));
                    before = repo.commit("main", &[before], &first);
                    let mut second = vec![Do::Remove(b"n")];
                    second.extend(put(to, &text));
                    before = repo.commit("main", &[before], &second);
                }
            }
        }
    });
}

/// The same in merges: each side has another kind, and the merge one of the two or a third.
#[test]
fn kinds_in_merges() {
    let oid = "1111111111111111111111111111111111111111";
    let put = |kind: usize, text: String| -> Vec<Do<'static>> {
        let mut all = vec![Do::Remove(b"n")];
        all.extend(match kind {
            0 => Some(Do::Write(b"n", text.into())),
            1 => Some(Do::Mode(b"n", "120000", text.into())),
            2 => Some(Do::Submodule(b"n", oid)),
            3 => Some(Do::Write(b"n/in", text.into())),
            _ => None,
        });
        all
    };
    check(|repo| {
        let base = repo.commit("main", &[], &[write("n", lines("a", 12)), write("other", "o\n")]);
        for left in 0..5 {
            for right in 0..5 {
                let a = repo.commit("main", &[base], &put(left, lines("a", 13)));
                let b = repo.commit("side", &[base], &put(right, lines("a", 14)));
                for (at, text) in [(left, 13), (right, 14), ((left + right) % 5, 15)] {
                    let name = format!("m{left}{right}{text}");
                    repo.commit(&name, &[a, b], &put(at, lines("a", text)));
                }
            }
        }
    });
}

/// A file that is no text becomes text, is edited, becomes none; an empty one is filled and emptied.
#[test]
fn between_text_and_none() {
    check(|repo| {
        let zero = |text: &str, at: usize| {
            let mut bytes = text.as_bytes().to_vec();
            bytes.insert(at, 0);
            bytes
        };
        let text = lines("x", 30);
        let far = "y".repeat(8_100);
        let versions: Vec<Vec<u8>> = vec![
            zero(&text, 3),
            text.clone().into(),
            edited("x", 30, &[(4, "edited")]).into(),
            zero(&text, 7),
            zero(&text, 9),
            edited("x", 30, &[(5, "edited")]).into(),
            vec![],
            text.clone().into(),
            vec![],
            vec![0],
            vec![],
            b"\n".to_vec(),
            b"\n\n".to_vec(),
            b"no newline".to_vec(),
            b"no newline\n".to_vec(),
            b"no newline\r\n".to_vec(),
            b"no newline\r".to_vec(),
            // A zero is looked for among the first 8,000 bytes only.
            zero(&far, 7_999),
            zero(&far, 8_000),
            zero(&(far.clone() + "\nmore\n"), 8_001),
            b"\xef\xbb\xbfmark\n".to_vec(),
            b"\xff\xfem\0a\0r\0k\0".to_vec(),
        ];
        let mut before = repo.commit("main", &[], &[write("other", "o\n")]);
        for version in &versions {
            before = repo.commit("main", &[before], &[Do::Write(b"f", version.clone())]);
        }
        // The same by merges: one side text, the other none.
        let base = before;
        for (at, pair) in versions.windows(2).enumerate() {
            let a = repo.commit("main", &[base], &[Do::Write(b"f", pair[0].clone())]);
            let b = repo.commit("side", &[base], &[Do::Write(b"f", pair[1].clone())]);
            let mut both = pair[0].clone();
            both.extend_from_slice(&pair[1]);
            repo.commit(&format!("m{at}"), &[a, b], &[Do::Write(b"f", both)]);
            repo.commit(&format!("n{at}"), &[b, a], &[Do::Write(b"f", text.clone().into())]);
        }
    });
}

/// Moves of files that are no text, are empty, links or submodules, alone and with an edit.
#[test]
fn renames_of_what_is_no_text() {
    check(|repo| {
        let oid = "1111111111111111111111111111111111111111";
        let bytes =
            |at: u8| -> Vec<u8> { (0..4_000u32).map(|n| (n * 7 % 251) as u8 ^ (u8::from(n == 2_000) * at)).collect() };
        let a = repo.commit(
            "main",
            &[],
            &[
                Do::Write(b"bin", bytes(0)),
                write("empty", ""),
                write("empty2", ""),
                Do::Mode(b"link", "120000", b"target/of/a/link".to_vec()),
                Do::Submodule(b"sub", oid),
                Do::Mode(b"run", "100755", lines("r", 20).into()),
            ],
        );
        let b = repo.commit(
            "main",
            &[a],
            &[
                Do::Rename(b"bin", b"dir/bin"),
                Do::Rename(b"empty", b"dir/empty"),
                Do::Rename(b"link", b"dir/link"),
                Do::Rename(b"sub", b"dir/sub"),
                Do::Rename(b"run", b"dir/run"),
            ],
        );
        let c = repo.commit(
            "main",
            &[b],
            &[
                Do::Remove(b"dir"),
                Do::Write(b"bin", bytes(1)),
                Do::Mode(b"link", "120000", b"target/of/a/lint".to_vec()),
                Do::Submodule(b"sub", "2222222222222222222222222222222222222222"),
                // Its permissions change while it moves, and so does a line.
                write("walk", edited("r", 20, &[(3, "walk")])),
            ],
        );
        repo.commit(
            "main",
            &[c],
            &[Do::Rename(b"bin", b"walk2"), Do::Rename(b"walk", b"bin"), Do::Rename(b"walk2", b"walk")],
        );
    });
}

/// Both sides of a merge moved the file, to the same place and to different ones; the merge keeps one, both or neither.
#[test]
fn renames_on_both_sides() {
    check(|repo| {
        let text = |edits: &[(usize, &str)]| edited("x", 40, edits);
        let base = repo.commit("main", &[], &[write("old", text(&[])), write("gone", lines("g", 30))]);
        let a = repo.commit("main", &[base], &[Do::Remove(b"old"), write("a", text(&[(3, "a")]))]);
        let b = repo.commit("side", &[base], &[Do::Remove(b"old"), write("b", text(&[(30, "b")]))]);
        let both = text(&[(3, "a"), (30, "b"), (20, "merge")]);
        repo.commit("one", &[a, b], &[write("a", both.clone())]);
        repo.commit("two", &[a, b], &[Do::Remove(b"a"), write("b", both.clone())]);
        repo.commit("three", &[a, b], &[write("b", text(&[(30, "b")])), Do::Remove(b"gone")]);
        repo.commit("four", &[a, b], &[Do::Remove(b"a"), write("c", both.clone())]);
        repo.commit("five", &[b, a], &[Do::Remove(b"b"), Do::Remove(b"gone"), write("c", both.clone())]);
        repo.commit("six", &[a, b], &[Do::Remove(b"a"), write("old", both.clone())]);
        let c = repo.commit("third", &[base], &[Do::Rename(b"old", b"a"), write("gone", lines("g", 28))]);
        repo.commit("seven", &[a, c], &[write("a", both.clone()), write("gone", lines("g", 29))]);
        repo.commit("eight", &[c, b, a], &[Do::Remove(b"a"), write("d", both), Do::Remove(b"gone")]);
    });
}

/// What a merge has as its second parent, what it deletes though both have it, what it brings back.
#[test]
fn merges_that_choose() {
    check(|repo| {
        let base =
            repo.commit("main", &[], &[write("f", lines("x", 40)), write("g", lines("y", 40)), write("h", "h\n")]);
        let a = repo.commit("main", &[base], &[write("f", edited("x", 40, &[(3, "a")])), Do::Remove(b"h")]);
        let b = repo.commit("side", &[base], &[write("f", edited("x", 40, &[(30, "b")])), write("only", "b\n")]);
        let theirs = repo.commit("main", &[a, b], &[write("f", edited("x", 40, &[(30, "b")])), write("h", "h\n")]);
        let ours = repo.commit("ours", &[a, b], &[]);
        let none = repo.commit("none", &[a, b], &[Do::Clear]);
        let back = repo.commit("back", &[none, ours], &[write("f", lines("x", 41)), write("g", lines("y", 40))]);
        let again = repo.commit("main", &[theirs, back], &[write("f", edited("x", 41, &[(3, "a"), (30, "b")]))]);
        // A merge of a commit with its own ancestor, and of unrelated histories with files of the same name.
        let own = repo.commit("main", &[again, base], &[write("g", lines("y", 20))]);
        let root = repo.commit("root", &[], &[write("g", lines("y", 30)), write("f", "unrelated\n")]);
        repo.commit("main", &[own, root], &[write("g", lines("y", 25)), write("f", lines("x", 12) + "unrelated\n")]);
    });
}

/// Clocks that run backwards, stand still or are far off: what comes first is what is a parent.
#[test]
fn clocks() {
    let mut repo = Repo::new();
    let mut random = crate::random::Random::new(9);
    let mut tips = vec![repo.commit_at("b0", &[], 2_000_000_000, &[write("f", lines("x", 30))])];
    for at in 0..60usize {
        let time = [0, 1, 1_500_000_000, 1_500_000_000, 4_000_000_000][random.below(5)];
        let from = tips[random.below(tips.len())];
        let line = format!("line {at}");
        let change = [write("f", edited("x", 30, &[(random.below(30), &line)])), write(&line, "x\n")];
        let mut parents = vec![from];
        let other = tips[random.below(tips.len())];
        if other != from && at % 3 == 0 {
            parents.push(other);
        }
        tips.push(repo.commit_at(&format!("b{}", at % 4), &parents, time, &change));
    }
    repo.agree();
    let told = repo.records(&Repo::options());
    let shas: Vec<&str> = told
        .iter()
        .filter(|line| line.contains("\"model\":\"commit\""))
        .map(|line| line.split("\"sha\":\"").nth(1).unwrap().split('"').next().unwrap())
        .collect();
    for (at, sha) in shas.iter().enumerate() {
        for parent in repo.git(&["rev-parse", &format!("{sha}^@")]).lines() {
            assert!(shas[..at].contains(&parent), "a parent comes first");
        }
    }
}

/// Names with everything that git quotes and with bytes that are no text, in folders of such names.
#[test]
fn names_of_all_bytes() {
    check(|repo| {
        let names: Vec<Vec<u8>> =
            (1..=255u8).filter(|byte| *byte != b'/').map(|byte| vec![b'd', byte, b'/', byte, b'.', byte]).collect();
        let all: Vec<Do<'_>> = names.iter().map(|name| Do::Write(name, [name, &b"\n"[..]].concat())).collect();
        let a = repo.commit("main", &[], &all);
        let some = names.iter().step_by(9).map(|name| Do::Write(name, b"new\n".to_vec())).collect::<Vec<_>>();
        let b = repo.commit("main", &[a], &some);
        let moved: Vec<Vec<u8>> = names.iter().map(|name| [b"m/", &name[3..]].concat()).collect();
        let moves: Vec<Do<'_>> = names.iter().zip(&moved).step_by(5).map(|(from, to)| Do::Rename(from, to)).collect();
        repo.commit("main", &[b], &moves);
    });
}

/// At least 99.9 % of the lines must agree, and so far all do. `FUZZ=1000` tries four thousand histories.
#[test]
fn random_histories() {
    let scale = std::env::var("FUZZ").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in 1..=4 * scale {
        let mut repo = Repo::new();
        crate::random::history(&mut repo, seed, if seed % 8 < 5 { 120 } else { 30 });
        repo.import();
        repo.agree_on(12, 0.999);
        if seed % 2 == 0 {
            repo.git(&["repack", "-adfq"]);
            repo.agree_on(0, 0.999);
        }
    }
}
