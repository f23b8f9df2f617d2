//! Graphs drawn by hand, each with one thing that is easily got wrong. Git is asked about every file at every commit.

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
