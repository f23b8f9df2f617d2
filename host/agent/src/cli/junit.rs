//! The checks of `agent test` as JUnit XML, which CI servers show. The form is the one they all read: a suite for each cassette
//! and one for what is about none, a case for each check; what is no failure and to be looked at is the case's output.

use std::fmt::Write;

use crate::app::{TestCheck, TestReport, TestState};

/// The suite of what is about no cassette.
const CONFORMANCE: &str = "conformance";

/// The file's text.
pub(super) fn xml(report: &TestReport) -> String {
    let name = report.name.clone().unwrap_or_else(|| report.folder.display().to_string());
    let mut suites: Vec<(&str, Vec<&TestCheck>)> = Vec::new();
    for check in &report.checks {
        let suite = check.cassette.as_deref().unwrap_or(CONFORMANCE);
        match suites.iter_mut().find(|(known, _)| *known == suite) {
            Some((_, checks)) => checks.push(check),
            None => suites.push((suite, vec![check])),
        }
    }
    let all: Vec<&TestCheck> = report.checks.iter().collect();
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    // Writing into memory cannot fail, here and below.
    let _ = writeln!(out, "<testsuites name=\"{}\" {}>", text(&name), counts(&all));
    for (suite, checks) in suites {
        let _ = writeln!(out, "  <testsuite name=\"{}\" {}>", text(&format!("{name}.{suite}")), counts(&checks));
        checks.iter().for_each(|check| case(&mut out, &format!("{name}.{suite}"), check));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn counts(checks: &[&TestCheck]) -> String {
    let of = |state: TestState| checks.iter().filter(|check| check.state == state).count();
    let ms: u64 = checks.iter().map(|check| check.duration_ms).sum();
    let (all, failed, skipped) = (checks.len(), of(TestState::Failed), of(TestState::Skipped));
    format!("tests=\"{all}\" failures=\"{failed}\" errors=\"0\" skipped=\"{skipped}\" time=\"{}\"", seconds(ms))
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn case(out: &mut String, class: &str, check: &TestCheck) {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\" time=\"{}\"",
        text(class),
        text(check.check),
        seconds(check.duration_ms)
    );
    let part =
        |name: &str, part: &Option<String>| part.as_ref().map(|part| format!("{name}: {part}\n")).unwrap_or_default();
    let told = format!("{}{}{}", part("fault", &check.fault), part("where", &check.place), part("mend", &check.mend));
    let note = check.note.as_deref().unwrap_or_default();
    let body = match check.state {
        TestState::Failed => {
            let fault = check.fault.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
            format!("<failure message=\"{}\" type=\"{}\">{}</failure>", text(fault), text(check.check), text(&told))
        }
        TestState::Skipped => format!("<skipped message=\"{}\"/>", text(note)),
        TestState::Warning => format!("<system-out>warning\n{}</system-out>", text(&told)),
        TestState::Ok if !note.is_empty() => format!("<system-out>{}</system-out>", text(note)),
        TestState::Ok => {
            let _ = writeln!(out, "{head}/>");
            return;
        }
    };
    let _ = writeln!(out, "{head}>\n      {body}\n    </testcase>");
}

/// A text in XML. What XML cannot hold at all, most control characters, is replaced.
fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(check: &'static str, cassette: Option<&str>, state: TestState) -> TestCheck {
        TestCheck {
            check,
            cassette: cassette.map(str::to_owned),
            state,
            fault: Some("it is <wrong> & \"bad\"\u{1b}\nmore".to_owned()),
            place: None,
            mend: Some("mend it".to_owned()),
            note: Some("why".to_owned()),
            duration_ms: 1_205,
        }
    }

    #[test]
    fn suites_are_cassettes_and_texts_are_escaped() {
        let report = TestReport {
            folder: "/f".into(),
            component: "/f/c.wasm".into(),
            name: Some("mine".to_owned()),
            checks: vec![
                check("describe", None, TestState::Ok),
                check("expected", Some("one"), TestState::Failed),
                check("resume", Some("one"), TestState::Skipped),
                check("permissions", None, TestState::Warning),
            ],
            ok: 1,
            warnings: 1,
            failed: 1,
            skipped: 1,
            interrupted: false,
            duration_ms: 3,
        };
        let xml = xml(&report);
        for said in [
            r#"<testsuites name="mine" tests="4" failures="1" errors="0" skipped="1" time="4.820">"#,
            r#"<testsuite name="mine.conformance" tests="2" failures="0" errors="0" skipped="0" time="2.410">"#,
            r#"<testcase classname="mine.one" name="expected" time="1.205">"#,
            "<failure message=\"it is &lt;wrong&gt; &amp; &quot;bad&quot;\u{fffd}\" type=\"expected\">fault: it is",
            r#"<skipped message="why"/>"#,
            "<system-out>warning\nfault: it is &lt;wrong&gt;",
        ] {
            assert!(xml.contains(said), "{said}: {xml}");
        }
    }
}
