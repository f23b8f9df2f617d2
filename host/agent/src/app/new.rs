//! Makes a new integration: a folder from a template, with the SDK and the contract that this agent speaks. Templates are
//! data, a folder of files in `host/agent/templates` each; what is here is the same for all of them.
//!
//! A project is whole or not there: it is made beside its place and moved there in one step. Nothing is overwritten.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::AppError;

/// Bytes of a name, as the manifest's schema has it.
const NAME_BYTES_MAX: usize = 64;

/// Where a project has its SDK: laid out as in the agent's own repository, so that its files are copied as they are.
const VENDOR: &str = "vendor/agent";

/// Names that would be taken for something else: what ships with the agent, packages that projects depend on, and what
/// languages and systems keep for themselves.
const RESERVED: &[&str] = &[
    "agent",
    "agent-sdk",
    "agent-integration",
    "git",
    "mock", // ours
    "alloc",
    "core",
    "proc-macro",
    "std",
    "test",
    "serde",
    "serde-json",
    "thiserror",
    "wit-bindgen", // Rust
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "build",
    "deps",
    "examples",
    "incremental",
    "target",
    "vendor",
    "out", // folders of builds
    "aux",
    "con",
    "nul",
    "prn", // Windows
];

/// A file of a template: its place in the project and its text.
struct File {
    path: &'static str,
    text: &'static str,
}

/// A language that projects can be made in.
pub struct Template {
    /// What `--lang` takes.
    pub lang: &'static str,
    /// The files, with placeholders: `{{name}}` `my-tickets`, `{{crate}}` `my_tickets`, `{{type}}` `MyTickets`, `{{lang}}`,
    /// `{{title}}` `My tickets`, `{{version}}` of the agent, `{{sdk}}`, the SDK's folder, quoted, and `{{sdk_file}}`, the same
    /// as npm writes it. `dot-` at the beginning of a name is `.`.
    files: &'static [File],
    /// The SDK, copied as it is below [`VENDOR`]. Its folder in the agent's repository, and the files there.
    sdk_folder: &'static str,
    sdk: &'static [File],
    /// What it needs beside its own files, the contract at least, by the place below [`VENDOR`].
    beside: &'static [File],
    /// A file by which a folder that `--sdk` names is known to be the SDK.
    sdk_mark: &'static str,
    /// What to do next, with placeholders.
    next: &'static [&'static str],
}

/// The files of a folder, by hand: nothing is built in by accident. A test holds the lists to the folders.
macro_rules! files {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(File { path: $path, text: include_str!(concat!("../../../../", $folder, "/", $path)) }),*]
    };
}

/// All of them; the first is the default.
pub const TEMPLATES: &[Template] = &[RUST, PYTHON, JS];

const RUST: Template = Template {
    lang: "rust",
    files: files!("host/agent/templates/rust":
        "Cargo.toml",
        "README.md",
        "agent-test.yaml",
        "agent.yaml",
        "cassettes/first.ndjson",
        "dot-cargo/config.toml",
        "dot-gitignore",
        "rust-toolchain.toml",
        "src/issue.rs",
        "src/lib.rs",
        "src/tests.rs",
    ),
    sdk_folder: "guest-sdk/rust",
    sdk: files!("guest-sdk/rust":
        "Cargo.toml",
        "README.md",
        "src/bindings.rs",
        "src/control.rs",
        "src/entry.rs",
        "src/error.rs",
        "src/git.rs",
        "src/graphql.rs",
        "src/host.rs",
        "src/http.rs",
        "src/http/parallel.rs",
        "src/http/status.rs",
        "src/integration.rs",
        "src/json.rs",
        "src/lib.rs",
        "src/log.rs",
        "src/manifest.rs",
        "src/oauth.rs",
        "src/paging.rs",
        "src/paging/link_header.rs",
        "src/paging/tests.rs",
        "src/select.rs",
        "src/session.rs",
        "src/state.rs",
        "src/sweep.rs",
        "src/testing/asks.rs",
        "src/testing/mod.rs",
        "src/testing/tests.rs",
        "src/testing/wire.rs",
        "src/time.rs",
        "src/updated.rs",
        "src/url.rs",
    ),
    beside: files!("": "wit/package.wit", "rustfmt.toml"),
    sdk_mark: "Cargo.toml",
    next: &[
        "cargo test",
        "cargo wasm",
        "agent run-wasm target/wasm32-wasip2/release/{{crate}}.wasm export repo=rust-lang/log --allow-asked",
    ],
};

const PYTHON: Template = Template {
    lang: "python",
    files: files!("host/agent/templates/python":
        "README.md",
        "agent-test.yaml",
        "agent.yaml",
        "cassettes/first.ndjson",
        "app.py",
        "build.py",
        "dot-gitignore",
        "requirements.txt",
        "test_app.py",
    ),
    sdk_folder: "guest-sdk/python",
    sdk: files!("guest-sdk/python":
        "README.md",
        "agent_sdk/__init__.py",
        "agent_sdk/__main__.py",
        "agent_sdk/_host.py",
        "agent_sdk/control.py",
        "agent_sdk/entry.py",
        "agent_sdk/errors.py",
        "agent_sdk/git.py",
        "agent_sdk/http.py",
        "agent_sdk/integration.py",
        "agent_sdk/log.py",
        "agent_sdk/manifest.py",
        "agent_sdk/oauth.py",
        "agent_sdk/paging.py",
        "agent_sdk/py.typed",
        "agent_sdk/session.py",
        "agent_sdk/state.py",
        "agent_sdk/testing.py",
        "pyproject.toml",
    ),
    beside: &[File { path: "guest-sdk/python/agent_sdk/package.wit", text: WIT }],
    sdk_mark: "agent_sdk/__init__.py",
    next: &[
        "python3 build.py",
        ".venv/bin/python -m unittest",
        "agent run-wasm {{name}}.wasm export repo=rust-lang/log --allow-asked",
    ],
};

const JS: Template = Template {
    lang: "js",
    files: files!("host/agent/templates/js":
        "README.md",
        "agent-test.yaml",
        "agent.yaml",
        "cassettes/first.ndjson",
        "dot-gitignore",
        "dot-npmrc",
        "package.json",
        "src/app.js",
        "tests/app.test.js",
    ),
    sdk_folder: "guest-sdk/js",
    sdk: files!("guest-sdk/js":
        "README.md",
        "build.js",
        "index.d.ts",
        "index.js",
        "package.json",
        "src/bindings-none.js",
        "src/bindings.js",
        "src/control.js",
        "src/documents.js",
        "src/entry.js",
        "src/errors.js",
        "src/git.js",
        "src/globals.js",
        "src/host.js",
        "src/http.js",
        "src/log.js",
        "src/manifest.js",
        "src/oauth.js",
        "src/paging.js",
        "src/session.js",
        "src/state.js",
        "src/url.js",
        "src/utf8.js",
        "testing.d.ts",
        "testing.js",
    ),
    beside: &[File { path: "guest-sdk/js/package.wit", text: WIT }],
    sdk_mark: "index.js",
    next: &[
        "npm install && npm run build",
        "npm test",
        "agent run-wasm {{name}}.wasm export repo=rust-lang/log --allow-asked",
    ],
};

/// The first cassettes, the same in every language; what an export makes of one is each template's own.
const CASSETTES: &[File] = files!("host/agent/templates/shared":
    "cassettes/first.har",
    "cassettes/tried.har",
    "cassettes/tried.ndjson",
);

const WIT: &str = include_str!("../../../../wit/package.wit");
const VENDOR_README: &str = include_str!("../../templates/vendor/README.md");

/// What to make.
#[derive(Debug)]
pub struct NewOptions {
    pub name: String,
    /// One of [`TEMPLATES`].
    pub lang: String,
    /// The project's folder; `./NAME` without.
    pub dir: Option<PathBuf>,
    /// An SDK to use in place of a copy.
    pub sdk: Option<PathBuf>,
}

/// What was made.
#[derive(Debug, Serialize)]
pub struct NewReport {
    pub name: String,
    pub lang: String,
    pub dir: PathBuf,
    /// The author's own files; what is below `vendor` is not theirs.
    pub files: Vec<String>,
    /// Commands to go on with.
    pub next: Vec<String>,
}

/// Makes a project.
///
/// # Errors
/// `Usage` for a name that cannot be one, an unknown language or a place that is taken; `Failed` where the folder cannot
/// be written. Nothing has been made then.
pub fn new_project(options: &NewOptions) -> Result<NewReport, AppError> {
    judge_name(&options.name)?;
    let template = TEMPLATES.iter().find(|template| template.lang == options.lang).ok_or_else(|| {
        let there: Vec<&str> = TEMPLATES.iter().map(|template| template.lang).collect();
        AppError::Usage(format!("there is no template for `{}`; there are: {}", options.lang, there.join(", ")))
    })?;
    let dir = options.dir.clone().unwrap_or_else(|| PathBuf::from(&options.name));
    judge_place(&dir)?;
    let sdk = options.sdk.as_deref().map(|path| judge_sdk(path, template)).transpose()?;
    let words = Words::new(&options.name, template, sdk.as_deref());
    let mut project: Vec<(String, String)> =
        template.files.iter().chain(CASSETTES).map(|file| words.file(file)).collect();
    let files = project.iter().map(|(path, _)| path.clone()).collect();
    if sdk.is_none() {
        project.extend(vendored(template, &words));
    }
    write(&dir, &project).map_err(|error| {
        AppError::Failed(format!(
            "the project cannot be written to {}: {error}; nothing was made, choose another place with --dir",
            dir.display()
        ))
    })?;
    let mut next = vec![format!("cd {}", quoted(&dir.display().to_string()))];
    next.extend(template.next.iter().map(|command| words.fill(command)));
    Ok(NewReport { name: options.name.clone(), lang: options.lang.clone(), dir, files, next })
}

/// A name that is a manifest's, a package's and, with `_`, a module's.
fn judge_name(name: &str) -> Result<(), AppError> {
    let fault = |why: &str| {
        let better = suggestion(name);
        let hint = better.map(|better| format!("; `{better}` would do")).unwrap_or_default();
        Err(AppError::Usage(format!("`{}` cannot be an integration's name: {why}{hint}", name.escape_debug())))
    };
    if name.is_empty() {
        return fault("it is empty; use lower case, digits and hyphens, as in `my-tickets`");
    }
    if name.len() > NAME_BYTES_MAX {
        return fault(&format!("it has {} bytes, and at most {NAME_BYTES_MAX} are possible", name.len()));
    }
    if let Some(bad) = name.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return fault(&format!("`{}` is none of a-z, 0-9 and -", bad.escape_debug()));
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        return fault("it does not begin with a letter");
    }
    if name.ends_with('-') || name.contains("--") {
        return fault("a hyphen stands between two other characters");
    }
    if RESERVED.contains(&name) || is_port(name) {
        return fault("it means something else already");
    }
    Ok(())
}

/// `com1` to `lpt9`, which are no folders on Windows.
fn is_port(name: &str) -> bool {
    let number = name.strip_prefix("com").or_else(|| name.strip_prefix("lpt"));
    number.is_some_and(|number| number.len() == 1 && number.as_bytes()[0].is_ascii_digit())
}

/// A name like the one that was meant.
fn suggestion(name: &str) -> Option<String> {
    let mut better = String::new();
    for c in name.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => better.push(c),
            _ if !better.is_empty() && !better.ends_with('-') => better.push('-'),
            _ => {}
        }
    }
    better.truncate(NAME_BYTES_MAX);
    let better = better.trim_end_matches('-').trim_start_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned();
    let better = if RESERVED.contains(&better.as_str()) { format!("{better}-source") } else { better };
    (judge_name_quietly(&better) && better != name).then_some(better)
}

fn judge_name_quietly(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !RESERVED.contains(&name) && !is_port(name)
}

/// A place that is free: nothing is there, or an empty folder.
fn judge_place(dir: &Path) -> Result<(), AppError> {
    let taken = |why: &str| {
        let place = dir.display();
        Err(AppError::Usage(format!("{place} {why}; nothing was changed, choose another place with --dir")))
    };
    if dir.file_name().is_none() {
        return taken("names no folder that could be made");
    }
    match fs::symlink_metadata(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => taken(&format!("cannot be looked at ({error})")),
        Ok(meta) if !meta.is_dir() => taken("is there already, and is no folder"),
        Ok(_) => match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
            Ok(true) => Ok(()),
            Ok(false) => taken("is there already, and is not empty"),
            Err(error) => taken(&format!("is there already, and cannot be read ({error})")),
        },
    }
}

/// The folder of an SDK, absolute.
fn judge_sdk(path: &Path, template: &Template) -> Result<String, AppError> {
    let fault = |why: String| {
        AppError::Usage(format!(
            "--sdk {}: {why}; give the folder of the SDK (`{}` of the agent's repository), or leave it out for a copy",
            path.display(),
            template.sdk_folder
        ))
    };
    let absolute = fs::canonicalize(path).map_err(|error| fault(error.to_string()))?;
    if !absolute.join(template.sdk_mark).is_file() {
        return Err(fault(format!("there is no {} in it", template.sdk_mark)));
    }
    absolute.into_os_string().into_string().map_err(|_| fault("its path is not UTF-8".to_owned()))
}

/// What the placeholders stand for.
struct Words(Vec<(&'static str, String)>);

impl Words {
    fn new(name: &str, template: &Template, sdk: Option<&str>) -> Words {
        let own = format!("{VENDOR}/{}", template.sdk_folder);
        // A JSON text is a TOML text too, and one of Python and JavaScript.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let sdk = sdk.unwrap_or(&own);
        let capitalized = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
        Words(vec![
            ("{{name}}", name.to_owned()),
            ("{{crate}}", name.replace('-', "_")),
            ("{{type}}", name.split('-').map(capitalized).collect()),
            ("{{title}}", capitalized(&name.replace('-', " "))),
            ("{{lang}}", template.lang.to_owned()),
            ("{{version}}", env!("CARGO_PKG_VERSION").to_owned()),
            ("{{sdk}}", quoted(sdk)),
            ("{{sdk_file}}", quoted(&format!("file:{sdk}"))),
        ])
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (placeholder, word)| text.replace(placeholder, word))
    }

    fn file(&self, file: &File) -> (String, String) {
        let path = self.fill(file.path);
        let parts: Vec<String> = path
            .split('/')
            .map(|part| part.strip_prefix("dot-").map_or(part.to_owned(), |rest| format!(".{rest}")))
            .collect();
        (parts.join("/"), self.fill(file.text))
    }
}

/// The copy of the SDK and of the contract.
fn vendored(template: &Template, words: &Words) -> Vec<(String, String)> {
    let at = |folder: &str, file: &File| (format!("{VENDOR}/{folder}{}", file.path), file.text.to_owned());
    let sdk_folder = format!("{}/", template.sdk_folder);
    let mut files = vec![
        (format!("{VENDOR}/README.md"), words.fill(VENDOR_README)),
        (format!("{VENDOR}/VERSION"), format!("{}\n", env!("CARGO_PKG_VERSION"))),
    ];
    files.extend(template.beside.iter().map(|file| at("", file)));
    files.extend(template.sdk.iter().map(|file| at(&sdk_folder, file)));
    files
}

/// Writes the files beside their place, then moves them there at once.
fn write(dir: &Path, files: &[(String, String)]) -> io::Result<()> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    // Taken away when it is dropped, and so with every error.
    let beside = tempfile::Builder::new().prefix(".agent-new-").tempdir_in(parent)?;
    let made = beside.path().join("project");
    for (path, text) in files {
        let file = made.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(file, text)?;
    }
    // Onto an empty folder it moves; onto anything else it fails.
    fs::rename(made, dir)
}

/// A word of a command line, as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+~".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(name: &str, dir: &Path) -> NewOptions {
        NewOptions { name: name.into(), lang: "rust".into(), dir: Some(dir.to_owned()), sdk: None }
    }

    fn why(result: Result<impl std::fmt::Debug, AppError>) -> String {
        match result {
            Err(AppError::Usage(why) | AppError::Failed(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_judged_and_a_better_one_is_given() {
        for name in ["a", "my-tickets", "x2", &"a".repeat(64)] {
            assert!(judge_name(name).is_ok(), "{name}");
        }
        for (name, expected) in [
            ("", "is empty"),
            ("My Tickets", "`M` is none of a-z, 0-9 and -; `my-tickets` would do"),
            ("my_tickets", "`my-tickets` would do"),
            ("2fa", "does not begin with a letter; `fa` would do"),
            ("a-", "`a` would do"),
            ("a--b", "`a-b` would do"),
            ("../x", "`x` would do"),
            ("a/b", "`a-b` would do"),
            ("ö", "`ö` is none of"),
            ("git", "means something else already; `git-source` would do"),
            ("serde", "means something else"),
            ("self", "means something else"),
            ("com1", "means something else"),
            (&"a".repeat(65), "has 65 bytes, and at most 64"),
            ("a\n", "`\\n` is none of"),
        ] {
            assert!(why(judge_name(name)).contains(expected), "{name}: {}", why(judge_name(name)));
        }
    }

    #[test]
    fn a_place_that_is_taken_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        new_project(&options("one", &taken)).expect("an empty folder is free");
        assert!(why(new_project(&options("one", &taken))).contains("is not empty; nothing was changed"));
        let file = folder.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(why(new_project(&options("one", &file))).contains("is no folder"));
        assert!(why(new_project(&options("one", &file.join("below")))).contains("cannot be looked at"));
        assert!(why(new_project(&options("one", Path::new("/")))).contains("names no folder"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "nothing is left lying about: {left:?}");
    }

    #[test]
    fn an_sdk_of_ones_own_is_used_in_place_of_the_copy() {
        let folder = tempfile::tempdir().unwrap();
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk/rust");
        let dir = folder.path().join("own");
        let with = |sdk: &Path| NewOptions { sdk: Some(sdk.to_owned()), ..options("own", &dir) };
        assert!(why(new_project(&with(Path::new("/nowhere")))).contains("--sdk /nowhere"));
        assert!(why(new_project(&with(folder.path()))).contains("there is no Cargo.toml in it"));
        new_project(&with(&sdk)).unwrap();
        assert!(!dir.join("vendor").exists());
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        let expected = format!("agent-sdk = {{ path = \"{}\" }}", fs::canonicalize(sdk).unwrap().display());
        assert!(manifest.contains(&expected), "{manifest}");
    }

    /// Files below a folder, relative to it, sorted.
    fn listed(folder: &Path) -> Vec<String> {
        let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap().map(Result::unwrap).filter(|one| one.file_name() != "__pycache__")
            {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => found.push(entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned()),
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn the_lists_have_every_file_and_no_placeholder_is_left() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for template in TEMPLATES {
            for (folder, files) in [
                (format!("host/agent/templates/{}", template.lang), template.files),
                ("host/agent/templates/shared".into(), CASSETTES),
                (template.sdk_folder.into(), template.sdk),
            ] {
                let mut paths: Vec<String> = files.iter().map(|file| file.path.to_owned()).collect();
                paths.sort();
                let mut there = listed(&root.join(&folder));
                // An SDK's own tests stay at home, and so does what tools leave; the contract comes from `wit`.
                let at_home = |path: &String| {
                    ["tests/", "node_modules/", "build/", ".gitignore"].iter().any(|home| path.starts_with(home))
                        || path.ends_with("package.wit")
                };
                there.retain(|path| folder.starts_with("host/") || !at_home(path));
                assert_eq!(paths, there, "{folder}: app/new.rs has the left");
            }
            let words = Words::new("my-tickets", template, None);
            for (path, text) in template.files.iter().chain(CASSETTES).map(|file| words.file(file)) {
                for known in &words.0 {
                    assert!(!text.contains(known.0) && !path.contains(known.0), "{path}");
                }
                assert!(!text.contains("{{"), "{path} has a placeholder that nothing fills");
            }
            assert!(template.files.iter().all(|file| file.text.ends_with('\n')));
        }
    }

    /// The SDK's manifest says by itself what the workspace says for the others.
    #[test]
    fn the_sdk_stands_on_its_own() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let sdk = fs::read_to_string(root.join("guest-sdk/rust/Cargo.toml")).unwrap();
        let workspace = fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let value =
            |line: &str| line.split("version = ").nth(1).and_then(|rest| rest.split('"').nth(1)).map(str::to_owned);
        assert!(!sdk.contains("workspace ="), "{sdk}");
        for name in ["serde", "serde_json", "thiserror", "wit-bindgen", "jsonschema"] {
            let line = |text: &str| {
                let line = text.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap().to_owned();
                value(&line).or_else(|| line.split('"').nth(1).map(str::to_owned))
            };
            assert_eq!(line(&sdk), line(&workspace), "{name}");
        }
        for member in ["edition", "rust-version", "license", "version"] {
            let line =
                |text: &str| text.lines().find(|line| line.starts_with(&format!("{member} = "))).unwrap().to_owned();
            assert_eq!(line(&sdk), line(&workspace));
        }
    }
}
