//! Log lines: whose they are can be seen whatever guests write, and no character of theirs acts on a terminal.

use serde_json::Value;
use tests::{Bench, guest, integration, mock};

/// What the guest `misuse` writes, one case each; `forged-log` and `stdout` write lines that look like the agent's.
const CASES: [&str; 5] = ["forged-log", "stdout", "long-log", "stdout-flood", "log-flood"];

fn bench() -> Bench {
    let each = CASES.map(|case| integration(case, "${GUESTS}/guest_misuse.wasm", &format!("{{do: {case}}}"), "{}"));
    Bench::new().integrations(&[&each[..], &[guest("panics", "{}"), mock("mock", "{}")]].concat())
}

/// Standard error and all log files, with their names.
fn everything_logged(bench: &Bench, stderr: String) -> Vec<(String, String)> {
    let mut logs = vec![("stderr".to_owned(), stderr)];
    for file in tests::files_below(&bench.path("root/logs")) {
        logs.push((file.display().to_string(), std::fs::read_to_string(&file).unwrap()));
    }
    assert_eq!(logs.len(), 2 + CASES.len() + 2, "standard error, the command's file, one for each integration");
    logs
}

/// Characters that move, hide, reorder or end something on a terminal.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{feff}')
}

#[test]
fn no_guest_can_pass_for_the_agent_in_text() {
    let bench = bench();
    let stderr = bench.export().code(3).stderr;
    assert!(stderr.contains("FORGED"), "the forgeries are shown: {stderr}");
    for (name, text) in everything_logged(&bench, stderr) {
        for line in text.lines() {
            assert!(!line.chars().any(acts), "{name}: {line:?}");
            // Time, level, and then the mark of the guest that it is from.
            if line.contains("FORGED") {
                let mut words = line.split_whitespace();
                let (time, level, from, mark) = (words.next(), words.next(), words.next(), words.next());
                assert!(time.unwrap().contains(':') && level != Some("ERROR"), "{name}: {line}");
                assert!(matches!(from, Some("forged-log" | "stdout")) && mark == Some("│"), "{name}: {line}");
            }
        }
    }
}

#[test]
fn every_line_of_json_is_whole_and_says_whose_it_is() {
    let bench = bench();
    let stderr = bench.run(&["export", "--log-format", "json", "--log-level", "debug"]).code(3).stderr;
    for (name, text) in everything_logged(&bench, stderr) {
        for line in text.lines() {
            let json: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
            assert!(!line.chars().any(acts), "{name}: {line:?}");
            let guests = json["source"] == "guest" && json["integration"].is_string() && json["target"].is_null();
            let agents = json["source"] == "agent" && json["target"].is_string() && json["integration"].is_null();
            assert!(guests != agents, "{name}: {line}");
            assert!(guests || !line.contains("FORGED"), "{name}: {line}");
            assert!(json["time"].is_string() && json["level"].is_string() && json["message"].is_string(), "{line}");
        }
    }
    let forged = bench.read("root/logs/integrations/forged-log.log");
    let forged: Vec<Value> = forged.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let fields = forged.iter().find(|line| line["message"] == "fields").unwrap();
    assert_eq!((&fields["level"], &fields["fields"]["level"]), (&"info".into(), &"error".into()));
}

/// A run may log 1 MiB; what comes after is counted, and said in a line of the agent's.
#[test]
fn a_flood_is_cut_and_counted() {
    let bench = bench();
    bench.export().code(3);
    for case in ["log-flood", "stdout-flood"] {
        let log = bench.read(&format!("root/logs/integrations/{case}.log"));
        assert!(log.len() > 1 << 19 && log.len() < 3 << 19, "{case}: {} bytes", log.len());
        assert!(log.contains("lines suppressed: a run may log 1048576 bytes"), "{case}");
    }
}

/// Options, and whether standard error has a guest's information and a guest's warning, and standard output the summary.
const QUIETER: &[(&[&str], bool, bool, bool)] = &[
    (&[], true, true, true),
    (&["--log-level", "warn"], false, true, true),
    (&["--log-level", "error"], false, false, true),
    (&["--quiet"], false, true, false),
    (&["--log-level", "trace"], true, true, true),
];

#[test]
fn less_is_logged_where_less_is_asked_for() {
    for (options, info, warn, summary) in QUIETER {
        let bench =
            Bench::new().integrations(&[integration("stdout", "${GUESTS}/guest_misuse.wasm", "{do: stdout}", "{}")]);
        let output = bench.run(&[&["export"], *options].concat()).code(0);
        let said = |text: &str| output.stderr.contains(text);
        assert_eq!(
            (
                said("a line on standard output"),
                said("a line on standard error"),
                output.stdout.contains("Nothing new")
            ),
            (*info, *warn, *summary),
            "{options:?}"
        );
    }
}
