//! Which files are not counted, and the words that say why. The rules and their order are the predecessor's; the words
//! are part of the interface. Rules that look at the path are here whole; those that look at the content are asked by
//! `mod.rs` in this order: binary, too large, licence, configuration, dot file, excluded, vendored, too many lines, too
//! wide, unknown language, generated.
//!
//! Where this differs from the predecessor, whose patterns were unanchored and had unescaped dots:
//! - A name is compared whole, never a part of a path: `src/VERSIONING.go`, `README.go`, `lib/licenses.rs` are counted.
//! - Endings are compared in any case: `A.PNG` is an image.
//! - SQL is no configuration. JSON5, JSON with comments and Java properties are, like JSON and INI.
//! - Vendored is what lies in a folder that holds others' code by the custom of some package manager, or is a well-known
//!   library by name. `cache/`, `dist/`, `env/`, `testdata/`, `debian/`, any `*import.css`, any `*.d.ts` are not: they
//!   hold authors' own work often enough.
//! - A generated file says so in the comments at its top; the predecessor took any comment of the file.

use super::language::Language;
use std::fmt;

/// Why a file is not counted. `Display` gives the words of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The commit removes it.
    Removed,
    /// Larger than `max` bytes.
    TooLarge {
        bytes: u64,
        max: u64,
    },
    License,
    Config,
    DotFile,
    Excluded,
    Vendored,
    /// It has more lines than this.
    TooManyLines {
        max: u64,
    },
    /// A line has so many bytes.
    TooWide {
        bytes: u64,
        max: u64,
    },
    UnknownLanguage,
    Generated,
}

impl Skip {
    /// The reason in a word, without numbers, for those who count.
    pub fn kind(&self) -> &'static str {
        match self {
            Skip::Removed => "removed",
            Skip::TooLarge { .. } => "too large",
            Skip::License => "license",
            Skip::Config => "configuration",
            Skip::DotFile => "dot file",
            Skip::Excluded => "excluded",
            Skip::Vendored => "vendored",
            Skip::TooManyLines { .. } => "too many lines",
            Skip::TooWide { .. } => "too wide",
            Skip::UnknownLanguage => "unknown language",
            Skip::Generated => "generated",
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skip::Removed => f.write_str("File was removed"),
            // K is a thousand, and rounded down.
            Skip::TooLarge { bytes, max } => {
                write!(f, "File size was {}K which exceeds limit of {}K", bytes / 1000, max / 1000)
            }
            Skip::License => f.write_str("File is a license file"),
            Skip::Config => f.write_str("File was a config file"),
            Skip::DotFile => f.write_str("File was a dot file"),
            Skip::Excluded => f.write_str("File was on an exclusion list"),
            Skip::Vendored => f.write_str("File was a vendored file"),
            Skip::TooManyLines { max } => write!(f, "File has more than {max} lines"),
            Skip::TooWide { bytes, max } => {
                write!(f, "File has a line width of {bytes} which is greater than max of {max}")
            }
            Skip::UnknownLanguage => f.write_str("Language was unknown"),
            Skip::Generated => f.write_str("file was a generated file"),
        }
    }
}

/// The last part of a path.
pub(super) fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

fn folders(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = path.len() - file_name(path).len();
    path[..end].split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

fn is(name: &[u8], wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted.as_bytes())
}

fn starts(name: &[u8], with: &str) -> bool {
    name.get(..with.len()).is_some_and(|start| is(start, with))
}

fn ends(name: &[u8], with: &str) -> bool {
    name.len().checked_sub(with.len()).is_some_and(|at| is(&name[at..], with))
}

/// Lists hold several names to a string, with spaces between.
fn names<'a>(list: &[&'a str]) -> impl Iterator<Item = &'a str> {
    list.iter().flat_map(|names| names.split(' '))
}

fn one_of(name: &[u8], list: &[&str]) -> bool {
    names(list).any(|wanted| is(name, wanted))
}

/// The name without the ending of a text (`.md`, `.txt` …), or whole if it has no ending; `None` with any other ending.
fn text_stem<'a>(name: &'a [u8], endings: &[&str]) -> Option<&'a [u8]> {
    match name.iter().rposition(|byte| *byte == b'.') {
        None => Some(name),
        Some(dot) => one_of(&name[dot + 1..], endings).then(|| &name[..dot]),
    }
}

/// Whether a file that may be a licence may as well be something else.
pub(super) fn is_readme(path: &[u8]) -> bool {
    starts(file_name(path), "README")
}

/// Whether the name is that of a licence's text; whether it is one, its content tells.
pub(super) fn may_be_license(path: &[u8]) -> bool {
    const STEMS: &[&str] = &["LICENSE", "LICENCE", "README", "COPYING", "UNLICENSE", "UNLICENCE"];
    const STARTS: &[&str] = &["LICENSE-", "LICENCE-", "COPYING-"];
    // A licence's name may hold dots: `LICENSE-Apache-2.0`, `COPYING.LESSER`.
    let name = file_name(path);
    let dotted = |start: &str| starts(name, start) && !looks_like_source(name);
    let stem = text_stem(name, &["md", "txt", "rst", "markdown"]);
    stem.is_some_and(|stem| one_of(stem, STEMS))
        || STARTS.iter().any(|start| dotted(start))
        || is(name, "COPYING.LESSER")
}

/// Whether a name that begins like a licence's ends like source code: `license-check.js`.
fn looks_like_source(name: &[u8]) -> bool {
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else { return false };
    let ending = &name[dot + 1..];
    !one_of(ending, &["md txt rst markdown"]) && !ending.iter().all(u8::is_ascii_digit)
}

/// What the path alone tells, in the order of the rules. `by_ending` is the language that its ending stands for beyond doubt.
pub(super) fn by_path(path: &[u8], by_ending: Option<Language>) -> Option<Skip> {
    let name = file_name(path);
    if by_ending.is_some_and(|language| CONFIGURATION.contains(&language.name())) {
        return Some(Skip::Config);
    }
    if name.starts_with(b".") {
        return Some(Skip::DotFile);
    }
    if is_excluded(path, name) {
        return Some(Skip::Excluded);
    }
    (!path.starts_with(b"src/") && is_vendored(path, name)).then_some(Skip::Vendored)
}

/// Languages that hold settings and data.
const CONFIGURATION: &[&str] =
    &["JSON", "JSON5", "JSON with Comments", "XML", "TOML", "YAML", "INI", "Java Properties"];

fn is_excluded(path: &[u8], name: &[u8]) -> bool {
    let ending = name.iter().rposition(|byte| *byte == b'.').map(|dot| &name[dot + 1..]);
    one_of(name, EXCLUDED_NAMES)
        || ending.is_some_and(|ending| one_of(ending, EXCLUDED_ENDINGS))
        || EXCLUDED_DOUBLE_ENDINGS.iter().any(|double| ends(name, double) && name.len() > double.len())
        || text_stem(name, PAPER_ENDINGS).is_some_and(|stem| one_of(stem, PAPERS) || starts(stem, "LICENSE-"))
        || folders(path).any(|folder| one_of(folder, EXCLUDED_FOLDERS))
}

/// Whole names, in any case.
const EXCLUDED_NAMES: &[&str] = &[
    // Manifests and lock files: Go, Rust, Ruby, Node, PHP, Python, Elixir, Swift, Dart.
    "go.mod go.sum go.work go.work.sum Gopkg.toml Gopkg.lock glide.yaml glide.lock Godeps.json Cargo.toml",
    "Cargo.lock rust-toolchain rust-toolchain.toml rustfmt.toml clippy.toml Gemfile Gemfile.lock gems.rb",
    "gems.locked package.json package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lock bun.lockb",
    "bower.json lerna.json deno.lock composer.json composer.lock Pipfile Pipfile.lock poetry.lock uv.lock pdm.lock",
    "requirements.txt requirements-dev.txt constraints.txt setup.cfg tox.ini MANIFEST.in mix.lock rebar.lock",
    "Podfile Podfile.lock Cartfile Cartfile.resolved Package.resolved pubspec.lock flake.lock MODULE.bazel.lock",
    "conan.lock pixi.lock",
    // Linters and editors.
    "tslint.json pylintrc eslint.config.js eslint.config.mjs eslint.config.cjs prettier.config.js",
    "stylelint.config.js commitlint.config.js checkstyle.xml phpcs.xml phpcs.xml.dist phpstan.neon detekt.yml",
    "Session.vim tags",
    // Continuous integration.
    "Jenkinsfile appveyor.yml appveyor.yaml azure-pipelines.yml bitbucket-pipelines.yml buddy.yml buildspec.yml",
    "buildkite.yml circle.yml cloudbuild.yaml cloudbuild.yml codecov.yml codeship-services.yml codeship-steps.yml",
    "shippable.yml wercker.yml travis.yml semaphore.yml drone.yml screwdriver.yaml",
    // Builds.
    "CMakeLists.txt CMakeCache.txt build.gradle build.gradle.kts settings.gradle settings.gradle.kts",
    "gradle.properties gradlew gradlew.bat gradle-wrapper.properties mvnw mvnw.cmd",
    // Java, databases of systems, the rest.
    "MANIFEST.MF Thumbs.db desktop.ini ehthumbs.db CODEOWNERS Procfile Vagrantfile",
];

/// Folders whose content is never source, wherever they stand.
const EXCLUDED_FOLDERS: &[&str] = &[
    ".ipynb_checkpoints __pycache__ .pytest_cache .mypy_cache .tox .idea .vscode .vs .settings .circleci .buildkite",
    ".github .gitlab .semaphore .teamcity .gradle .git .svn .hg",
];

/// What stands after the last dot, in any case.
const EXCLUDED_ENDINGS: &[&str] = &[
    // Archives and packages.
    "zip tar gz tgz bz2 tbz2 xz txz zst lz4 lzma 7z rar cab iso dmg deb rpm apk ipa msi pkg gem whl egg nupkg crate",
    "jar war ear aar",
    // Images.
    "png jpg jpeg gif bmp ico icns svg webp tif tiff psd ai eps xcf heic avif sketch fig",
    // Documents.
    "pdf doc docx xls xlsx ppt pptx odt ods odp rtf epub mobi pages numbers",
    // Sound and film.
    "mp3 mp4 m4a m4v wav flac ogg oga ogv aac wma wmv avi mov mkv webm flv mpg mpeg mid midi aiff opus swf",
    // Fonts.
    "ttf otf woff woff2 eot fon pfb",
    // What compilers and interpreters write.
    "o obj a lib so dll dylib exe class pyc pyo pyd elc beam wasm pdb gch pch la lo ko rlib rmeta hi cmi cmo cmx",
    "dex gcda gcno profraw",
    // Databases and stored data.
    "db db3 sqlite sqlite3 mdb accdb dbf rdb dump bak parquet avro orc npy npz pickle h5 hdf5 feather arrow",
    // Keys and certificates.
    "pem crt cer der key pub p12 pfx jks keystore csr gpg sig",
    // Projects of IDEs.
    "iml ipr iws sln slnx suo csproj vbproj fsproj vcproj vcxproj filters user props pbxproj xcworkspacedata",
    "xcscheme xcuserstate storyboard xib sublime-project sublime-workspace code-workspace",
    // The rest.
    "cmake map log lock tmp temp swp swo orig rej pid",
];

const EXCLUDED_DOUBLE_ENDINGS: &[&str] =
    &[".min.js", "-min.js", ".min.css", "-min.css", ".min.mjs", ".bundle.js", ".chunk.js", ".chunk.css"];

/// What a paper's name may end with; without an ending it may stand too.
const PAPER_ENDINGS: &[&str] = &["md", "markdown", "txt", "rst", "adoc", "asciidoc", "org", "rdoc", "textile"];

/// Names of papers, in any case.
const PAPERS: &[&str] = &[
    "LICENSE LICENCE UNLICENSE UNLICENCE COPYING COPYRIGHT NOTICE PATENTS README AUTHORS CONTRIBUTORS MAINTAINERS",
    "OWNERS CHANGELOG CHANGES HISTORY NEWS CONTRIBUTING DCO VERSION CODE_OF_CONDUCT CODE-OF-CONDUCT ISSUE_TEMPLATE",
    "PULL_REQUEST_TEMPLATE CITATION",
];

fn is_vendored(path: &[u8], name: &[u8]) -> bool {
    folders(path).any(|folder| one_of(folder, VENDOR_FOLDERS))
        || VENDOR_PATHS.iter().any(|wanted| contains_folders(path, wanted))
        || path.starts_with(b"deps/")
        || one_of(name, VENDOR_NAMES)
        || is_known_library(name)
}

/// Folders that hold others' code by custom, in any case.
const VENDOR_FOLDERS: &[&str] = &[
    "node_modules bower_components jspm_packages web_modules vendor vendors vendored third_party third-party",
    "thirdparty 3rd_party 3rd-party 3rdparty extern external externals Carthage Pods site-packages flow-typed",
    "elm-stuff _esy ace-builds MathJax tiny_mce extjs xvba_modules",
];

/// Folders in folders.
const VENDOR_PATHS: &[&str] = &[
    "Godeps/_workspace",
    "gradle/wrapper",
    ".mvn/wrapper",
    ".yarn/releases",
    ".yarn/plugins",
    ".yarn/sdks",
    ".yarn/versions",
];

/// Files that projects take over as they are.
const VENDOR_NAMES: &[&str] = &[
    // Autotools.
    "configure config.guess config.sub aclocal.m4 libtool.m4 ltmain.sh ltoptions.m4 ltsugar.m4 ltversion.m4",
    "lt~obsolete.m4 install-sh depcomp missing test-driver cpplint.py erlang.mk rebar waf ez_setup.py",
    "versioneer.py ppport.h dotnet-install.sh dotnet-install.ps1 activator.bat",
    // Libraries of the web.
    "normalize.css skeleton.css animate.css modernizr.js prototype.js dojo.js MochiKit.js Chart.js ckeditor.js",
    "fuelux.js bootbox.js pdf.worker.js html5shiv.js octicons.css shCore.js shLegacy.js",
];

/// `jquery.js`, `jquery-3.7.1.slim.js`, `bootstrap.bundle.css`: the name of a library, then nothing, a version or parts of
/// it, then the ending of a script or sheet. `reactive.js` and `d3chart.js` are somebody's own.
fn is_known_library(name: &[u8]) -> bool {
    const LIBRARIES: &[&str] = &[
        "jquery bootstrap angular react react-dom vue ember backbone underscore lodash d3 foundation modernizr",
        "knockout mootools cordova handlebars mustache moment leaflet three font-awesome fontawesome materialize",
        "bulma semantic raphael zepto require yui highcharts",
    ];
    const ENDINGS: &[&str] = &[".js", ".mjs", ".css", ".less", ".scss", ".sass", ".styl"];
    let Some(ending) = ENDINGS.iter().find(|ending| ends(name, ending)) else { return false };
    let stem = &name[..name.len() - ending.len()];
    // Their bare names could be anybody's; with a version they are theirs.
    const COMMON_WORDS: &[&str] = &["require", "three", "semantic", "moment", "foundation", "react", "vue", "ember"];
    let is_library = |library: &str| {
        starts(stem, library)
            && match &stem[library.len()..] {
                [] => !COMMON_WORDS.contains(&library),
                rest if COMMON_WORDS.contains(&library) && !rest.iter().any(u8::is_ascii_digit) => false,
                rest => is_version_or_part(rest),
            }
    };
    names(LIBRARIES).any(is_library)
}

/// `-3.7.1`, `.v7`, `.min`, `-ui.1.2`, `.bundle`: marks between dots and dashes, one of them a version or a usual part.
fn is_version_or_part(rest: &[u8]) -> bool {
    const PARTS: &[&str] =
        &["min", "slim", "bundle", "core", "ui", "effects", "production", "development", "umd", "esm", "all"];
    if !rest.first().is_some_and(|byte| b".-_".contains(byte)) {
        return false;
    }
    let mut parts = rest[1..].split(|byte| b".-_".contains(byte));
    parts.all(|part| {
        let digits = part.strip_prefix(b"v").unwrap_or(part);
        !part.is_empty() && (digits.iter().all(u8::is_ascii_digit) || one_of(part, PARTS))
    })
}

fn contains_folders(path: &[u8], wanted: &str) -> bool {
    let wanted: Vec<&[u8]> = wanted.as_bytes().split(|byte| *byte == b'/').collect();
    let parts: Vec<&[u8]> = folders(path).collect();
    parts.windows(wanted.len()).any(|window| window == wanted)
}

/// Lines in which a generated file must say so.
pub(super) const HEADER_LINES_MAX: usize = 40;
/// Lines of code that may stand before or within such a header: `<?php`, `package x;`, `"use strict"`, `#pragma once`.
pub(super) const HEADER_CODE_LINES_MAX: u64 = 3;

/// Whether a comment line in a file's header says that the file is generated.
pub(super) fn says_generated(line: &[u8]) -> bool {
    // As they are written in capitals by those who mean it.
    const EXACT: &[&str] = &["DO NOT EDIT", "DO NOT MODIFY"];
    const ANY_CASE: &[&str] = &[
        "@generated",
        "<auto-generated",
        "code generated by",
        "machine generated",
        "machine-generated",
        "auto-generated by",
        "autogenerated by",
        "automatically generated by",
        "file is automatically generated",
        "file was automatically generated",
        "file is auto-generated",
        "file is generated by",
        "file was generated by",
    ];
    contains(line, |at| EXACT.iter().any(|mark| line[at..].starts_with(mark.as_bytes())))
        || contains(line, |at| ANY_CASE.iter().any(|mark| starts(&line[at..], mark)))
        || contains(line, |at| is_word_at(line, at, b"GENERATED"))
}

fn contains(line: &[u8], at: impl Fn(usize) -> bool) -> bool {
    (0..line.len()).any(at)
}

/// `GENERATED` as a word: not a part of a constant's name.
fn is_word_at(line: &[u8], at: usize, word: &[u8]) -> bool {
    let inner = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    line[at..].starts_with(word) && !inner(line.get(at + word.len())) && !inner(at.checked_sub(1).map(|at| &line[at]))
}

/// git's rule: a NUL among the first bytes makes a file binary.
pub(super) fn is_binary(content: &[u8]) -> bool {
    const SEEN: usize = 8000;
    memchr::memchr(0, &content[..content.len().min(SEEN)]).is_some()
}
