//! Input that is not what it should be: files that are no integrations, configurations that fit nothing, flags that are not
//! JSON. Each is named with its place and its mend, ends with the documented code, and leaves the others alone.

use serde_json::{Value, json};
use tests::{Bench, HEAD, guests, integration, mock};

/// The first bytes of WebAssembly of a version and layer.
const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn built(name: &str) -> Vec<u8> {
    std::fs::read(guests().join(name)).unwrap()
}

/// Files that are no integrations, and what is said of each.
fn files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = built("integration_mock.wasm");
    let mut broken = whole.clone();
    broken[5_000..5_100].fill(0xff);
    vec![
        ("text", b"<!DOCTYPE html>\n".to_vec(), "is not WebAssembly: it begins with \"<!DOCTYPE html>\\n\""),
        ("empty", Vec::new(), "is empty; build it again"),
        ("core-module", MODULE.to_vec(), "is a core module and not a component; make a component"),
        ("other-version", b"\0asm\x02\0\0\0".to_vec(), "is WebAssembly of a version that is not known"),
        ("cut-in-the-head", whole[..6].to_vec(), "ends too early, after 6 bytes; copy or build it again"),
        ("cut-in-the-middle", whole[..100_000].to_vec(), "ends too early, after 100000 bytes"),
        ("cut-at-the-end", whole[..whole.len() - 1].to_vec(), "ends too early"),
        ("broken", broken, "is not a valid component"),
        ("other-world", COMPONENT.to_vec(), "is a component of another kind: it exports nothing"),
        ("bad-manifest", built("guest_bad_manifest.wasm"), "the component's manifest has faults"),
    ]
}

#[test]
fn a_file_that_is_no_integration_is_named_with_its_mend() {
    for (name, bytes, said) in files() {
        let file = format!("{name}.wasm");
        let bench = Bench::new().integrations(&[integration("bad", &format!("./{file}"), "{}", "{}")]);
        bench.write(&file, bytes);
        let output = bench.export().code(78);
        output.says(said).says("bad: badly configured");
        if name != "bad-manifest" {
            output.says(bench.path(&file).to_str().unwrap());
        }
    }
}

#[test]
fn one_that_cannot_be_loaded_leaves_the_others_alone() {
    let bad = files().into_iter().map(|(name, bytes, _)| (format!("{name}.wasm"), bytes)).collect::<Vec<_>>();
    let each =
        bad.iter().map(|(file, _)| integration(file.trim_end_matches(".wasm"), &format!("./{file}"), "{}", "{}"));
    let bench = Bench::new().integrations(&each.chain([mock("mock", "{}")]).collect::<Vec<_>>());
    for (file, bytes) in &bad {
        bench.write(file, bytes);
    }
    let report = bench.report(3, &[]);
    let outcomes: Vec<&str> =
        report["integrations"].as_array().unwrap().iter().map(|of| of["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, [vec!["bad_config"; bad.len()], vec!["ok"]].concat());
    assert_eq!(bench.sink().count("mock"), 309);
}

/// Configurations of an integration that do not fit its manifest, and what is said of each.
const MISFITS: &[(&str, &str, &[&str])] = &[
    ("mock", "{recods: 1}", &["agent.yaml:4:", "integrations[0].config.recods", "did you mean `records`?"]),
    ("mock", "{records: many}", &["config.records: the value is not of type \"integer\""]),
    ("mock", "{records: -1}", &["config.records: the value is less than the minimum of 0"]),
    ("mock", "{fail: [a]}", &["config.fail: "]),
    ("mock", "{records: x, projects: y}", &["config.records: ", "config.projects: "]),
    ("${GUESTS}/guest_hello.wasm", "{}", &["\"url\" is a required property"]),
    ("${GUESTS}/guest_hello.wasm", "{url: 1}", &["config.url: the value is not of type \"string\""]),
];

#[test]
fn a_configuration_that_does_not_fit_the_integration_is_told() {
    for (component, config, said) in MISFITS {
        let bench = Bench::new().integrations(&[integration("bad", component, config, "{}")]);
        let output = bench.export().code(78);
        for text in *said {
            output.says(text);
        }
        let report = bench.report(78, &[]);
        assert_eq!(report["integrations"][0]["outcome"], "bad_config", "{config}");
        bench.run(&["status"]).code(0).says("badly configured");
    }
}

/// Files given with `-c`, and what is said. What else can be wrong in one is in `tests/config`.
const CONFIGURATIONS: &[(&str, &str, &[&str])] = &[
    ("agent.yaml", "integrations: [\n", &["agent.yaml:2"]),
    ("agent.json", "{\"integrations\": [,]}", &["agent.json:1"]),
    ("agent.yaml", "root: x\n", &["integrations"]),
    (
        "agent.yaml",
        "integrations: [{name: a, component: mock}]\nsinc: out\n",
        &["agent.yaml:2:1", "did you mean `sink`?"],
    ),
    ("agent.yaml", "integrations: [{name: a}]\n", &["agent.yaml:1", "name its component"]),
    ("agent.yaml", "integrations: [{name: a, component: ./missing.wasm}]\n", &["there is no file", "missing.wasm"]),
    ("agent.yaml", "integrations: [{name: a, component: moc}]\n", &["did you mean `mock`?"]),
    (
        "agent.yaml",
        "integrations: [{name: a, component: mock, config: [1]}]\n",
        &["a list is here where a mapping belongs"],
    ),
];

#[test]
fn a_bad_configuration_is_told_before_anything_happens() {
    for (name, text, said) in CONFIGURATIONS {
        let bench = Bench::new();
        bench.write(name, text);
        let output = bench.run(&["export", "-c", name]).code(78);
        for text in *said {
            output.says(text);
        }
        let json = bench.run(&["export", "-c", name, "--json"]).code(78).json();
        assert_eq!(json["exit_code"], 78);
        assert!(!json["faults"].as_array().unwrap().is_empty(), "{json:#}");
        let there: Vec<_> = tests::files_below(&bench.path(""));
        assert_eq!(there, [bench.path(name)], "nothing was made: {text}");
    }
}

/// Command lines, their code, and what is said.
const COMMAND_LINES: &[(&[&str], i32, &str)] = &[
    (&["export"], 78, "agent.yaml"),
    (&["export", "-c", "missing.yaml"], 78, "missing.yaml"),
    (&["export", "--integrations-json=[{\"name\":}]"], 78, "--integrations-json"),
    (&["export", "--integrations-json=[{\"name\": \"nothing\"}]"], 78, "there is no component `nothing`"),
    (&["export", "--integrations-file=missing.json"], 78, "missing.json"),
    (&["export", "--agent-config-json={}"], 2, "--integrations"),
    (&["export", "--integrations-json=[]", "-c", "agent.yaml"], 2, "cannot be used with"),
    (&["export", "--no-such-flag"], 2, "--no-such-flag"),
    (&["exprot"], 2, "export"),
    (&["status", "--root", "missing"], 10, "missing"),
    (&["doctor", "--root", "missing"], 10, "missing"),
    (&["force-historical", "x", "--root", "missing"], 10, "missing"),
];

#[test]
fn a_bad_command_line_is_told() {
    for (arguments, code, said) in COMMAND_LINES {
        let bench = Bench::new();
        bench.run(arguments).code(*code).says(said);
        assert_eq!(
            tests::files_below(&bench.path("")),
            Vec::<std::path::PathBuf>::new(),
            "nothing was made: {arguments:?}"
        );
    }
}

#[test]
fn a_configuration_that_is_not_utf8_is_told() {
    let bench = Bench::new();
    bench.write("agent.yaml", [HEAD.as_bytes(), b"\xff\xfe"].concat());
    bench.export().code(78).says("agent.yaml").says("UTF-8");
}

/// The codes of what is wrong with everything that runs, together with something that works.
#[test]
fn a_bad_configuration_beside_a_good_one_is_partial() {
    let bench = Bench::new().integrations(&[mock("good", "{records: 1}"), mock("bad", "{recods: 1}")]);
    let report: Value = bench.report(3, &[]);
    assert_eq!((&report["exit_code"], &report["integrations"][1]["outcome"]), (&json!(3), &json!("bad_config")));
    assert_eq!((bench.sink().count("good"), bench.sink().count("bad")), (12, 0));
}
