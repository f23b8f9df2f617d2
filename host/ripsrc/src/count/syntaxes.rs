//! What comments, strings and decisions look like in each language: facts, in one table. Languages go by Linguist's
//! names; those that share a syntax share an entry. A language without an entry takes that of its editor mode, if we
//! have one, and otherwise has neither comments nor decisions. How the facts are read is told in `classes.rs`.

/// Where a comment token is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Anywhere,
    /// In the first column only.
    Column0,
    /// As the first thing of its line.
    LineStart,
    /// As the first thing of its line, and a word of its own: `REM`.
    LineStartWord,
    /// Where a word begins: `#` in a shell, which is something else in `$#` and `${a#b}`.
    Word,
    /// The same, but no bracket follows: `#[…]` is an attribute.
    WordNoBracket,
}

#[derive(Clone, Copy)]
pub(super) struct Line {
    pub open: &'static str,
    pub at: At,
    pub any_case: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Block {
    pub open: &'static str,
    pub close: &'static str,
    pub nested: bool,
    /// With `Column0` its end stands in the first column too.
    pub at: At,
}

#[derive(Clone, Copy)]
pub(super) struct Quote {
    pub open: &'static str,
    pub close: &'static str,
    /// A backslash takes the meaning from what follows it.
    pub escape: bool,
    /// It may go on over the end of a line.
    pub spans: bool,
    /// Standing alone, it documents.
    pub doc: bool,
}

/// Strings that no pair of tokens describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// `'x'`, where an apostrophe may be something else.
    Character,
    /// `r"…"`, `r##"…"##`.
    RustRaw,
    /// `R"tag(…)tag"`.
    CppRaw,
    /// `[[…]]`, `[==[…]==]`.
    LongBracket,
    /// `--[==[…]==]`: the same as a comment.
    LongComment,
    /// `$tag$…$tag$`.
    DollarQuote,
    /// `<<WORD`, up to a line of that word, as shells have it: a space may stand between, and `<<<` is something else.
    HereDocument,
    /// `<<~WORD` as Ruby and Perl have it: `list << ITEM` is something else.
    HereDocumentTight,
    /// `<<<WORD` as PHP has it.
    HereDocumentTriple,
}

impl Special {
    pub(super) fn is_heredoc(self) -> bool {
        matches!(self, Special::HereDocument | Special::HereDocumentTight | Special::HereDocumentTriple)
    }

    pub(super) fn opens(self) -> &'static [&'static str] {
        match self {
            Special::Character => &["'"],
            Special::RustRaw => &["r", "br", "cr"],
            Special::CppRaw => &["R\"", "u8R\"", "uR\"", "UR\"", "LR\""],
            Special::LongBracket => &["["],
            Special::LongComment => &["--["],
            Special::DollarQuote => &["$"],
            Special::HereDocument | Special::HereDocumentTight => &["<<"],
            Special::HereDocumentTriple => &["<<<"],
        }
    }
}

/// A decision, and which bytes must follow it (any, if none are named).
pub(super) type Decision = (&'static str, &'static str);

#[derive(Clone, Copy)]
pub(super) struct Syntax {
    pub line: &'static [Line],
    pub block: &'static [Block],
    pub quotes: &'static [Quote],
    pub special: &'static [Special],
    pub decisions: &'static [&'static [Decision]],
}

pub(super) const PLAIN: Syntax = Syntax { line: &[], block: &[], quotes: &[], special: &[], decisions: &[] };

const fn line(open: &'static str) -> Line {
    Line { open, at: At::Anywhere, any_case: false }
}

const fn line_at(open: &'static str, at: At) -> Line {
    Line { open, at, any_case: false }
}

const fn block(open: &'static str, close: &'static str) -> Block {
    Block { open, close, nested: false, at: At::Anywhere }
}

const fn nested(open: &'static str, close: &'static str) -> Block {
    Block { open, close, nested: true, at: At::Anywhere }
}

const fn column0(open: &'static str, close: &'static str) -> Block {
    Block { open, close, nested: false, at: At::Column0 }
}

/// A string that ends with its line, where a backslash escapes.
const fn quote(mark: &'static str) -> Quote {
    Quote { open: mark, close: mark, escape: true, spans: false, doc: false }
}

/// The same without escapes.
const fn bare(mark: &'static str) -> Quote {
    Quote { open: mark, close: mark, escape: false, spans: false, doc: false }
}

/// A string over several lines, where a backslash escapes.
const fn long(mark: &'static str) -> Quote {
    Quote { open: mark, close: mark, escape: true, spans: true, doc: false }
}

/// A string over several lines without escapes.
const fn raw(open: &'static str, close: &'static str) -> Quote {
    Quote { open, close, escape: false, spans: true, doc: false }
}

const fn doc(open: &'static str, close: &'static str) -> Quote {
    Quote { open, close, escape: true, spans: true, doc: true }
}

const SLASHES: &[Line] = &[line("//")];
const HASH: &[Line] = &[line("#")];
const HASH_WORD: &[Line] = &[line_at("#", At::Word)];
const DASHES: &[Line] = &[line("--")];
const SEMICOLON: &[Line] = &[line(";")];
const PERCENT: &[Line] = &[line("%")];
const BANG: &[Line] = &[line("!")];
const SLASH_STAR: &[Block] = &[block("/*", "*/")];
const SLASH_STAR_NESTED: &[Block] = &[nested("/*", "*/")];
const MARKUP: &[Block] = &[block("<!--", "-->")];
const BRACE_DASH: &[Block] = &[nested("{-", "-}")];
const PAREN_STAR: &[Block] = &[nested("(*", "*)")];
const DOUBLE: &[Quote] = &[quote("\"")];
const BOTH: &[Quote] = &[quote("\""), quote("'")];
const SHELL_QUOTES: &[Quote] = &[long("\""), raw("'", "'")];
const LONG_BOTH: &[Quote] = &[long("\""), long("'")];
const LISP_QUOTES: &[Quote] = &[long("\"")];
const BASIC_QUOTES: &[Quote] = &[bare("\"")];
const SQL_QUOTES: &[Quote] = &[raw("'", "'"), bare("\"")];
const PYTHON_QUOTES: &[Quote] = &[
    doc("\"\"\"", "\"\"\""),
    doc("'''", "'''"),
    doc("r\"\"\"", "\"\"\""),
    doc("r'''", "'''"),
    doc("R\"\"\"", "\"\"\""),
    doc("u\"\"\"", "\"\"\""),
    doc("f\"\"\"", "\"\"\""),
    doc("f'''", "'''"),
    quote("\""),
    quote("'"),
];

// Which words and marks `scc` counts as decisions, language by language; an order of magnitude of McCabe's measure.
const COMPARE: &[Decision] = &[("||", " "), ("&&", " "), ("!=", " "), ("==", " ")];
const COMMON: &[Decision] = &[("for", " ("), ("if", " ("), ("switch", " "), ("while", " "), ("else", " ")];
const C_WORDS: &[Decision] = &[("for", " ("), ("if", " ("), ("switch", " ("), ("while", " ("), ("else", " {")];
const TRY: &[Decision] = &[("try", " {"), ("catch", " (")];
const FINALLY: &[Decision] = &[("finally", " {")];
const PYTHON_WORDS: &[Decision] = &[
    ("for", " ("),
    ("while", " ("),
    ("if", " ("),
    ("elif", " ("),
    ("else", " :"),
    ("match", " ("),
    ("try", " :"),
    ("except", " :"),
    ("finally", " :"),
    ("with", " "),
    ("and", " ("),
    ("or", " ("),
];
const AND_OR: &[Decision] = &[("and", " "), ("or", " ")];

const DEFAULT: &[&[Decision]] = &[COMMON, COMPARE];
const C: &[&[Decision]] = &[C_WORDS, COMPARE];
const CPP: &[&[Decision]] = &[C_WORDS, TRY, COMPARE];
const JAVA: &[&[Decision]] = &[C_WORDS, TRY, FINALLY, COMPARE];
const JS: &[&[Decision]] = &[COMMON, COMPARE, &[("??", " "), ("??=", " ")]];
const TS: &[&[Decision]] = &[COMMON, COMPARE, &[("case", " ("), ("!==", " "), ("===", " "), ("??", " "), ("??=", " ")]];
const CSHARP: &[&[Decision]] = &[COMMON, COMPARE, &[("foreach", " (")]];
const GO: &[&[Decision]] =
    &[&[("go", " "), ("for", " ({"), ("if", " ("), ("switch", " ({"), ("select", " {"), ("else", " {")], COMPARE];
const RUST: &[&[Decision]] = &[
    &[("for", " ("), ("if", " ("), ("while", " ("), ("loop", " {"), ("else", " {"), ("match", " (")],
    COMPARE,
    &[("?", "")],
];
const KOTLIN: &[&[Decision]] =
    &[&[("for", " ("), ("if", " ("), ("when", " ("), ("while", " ("), ("else", " {")], TRY, FINALLY, COMPARE];
const SWIFT: &[&[Decision]] = &[COMMON, COMPARE, &[("catch", " "), ("guard", " ")]];
const SCALA: &[&[Decision]] = &[COMMON, COMPARE, &[(">=", " "), (">", " "), ("<=", " "), ("<", " ")]];
const SOLIDITY: &[&[Decision]] = &[COMMON, COMPARE, &[("assembly", " {"), ("unchecked", " {")]];
const PERL: &[&[Decision]] = &[
    &[
        ("for", " ("),
        ("foreach", " ("),
        ("if", " ("),
        ("elsif", " ("),
        ("while", " ("),
        ("until", " ("),
        ("unless", " ("),
        ("given", " ("),
        ("when", " ("),
        ("catch", " ("),
        ("eq", " "),
        ("ne", " "),
        ("else", " "),
    ],
    AND_OR,
    COMPARE,
];
const LUA: &[&[Decision]] = &[
    &[("for", " ("), ("if", " ("), ("while", " ("), ("else", " ("), ("elseif", " ("), ("until", " (")],
    AND_OR,
    &[("~=", " "), ("==", " ")],
];
const HASKELL: &[&[Decision]] = &[
    &[("if", " "), ("then", " "), ("else", " "), ("case", " "), ("otherwise", " "), ("do {", "")],
    &[("||", " "), ("&&", " "), ("/=", " "), ("==", " ")],
];
const ELIXIR: &[&[Decision]] = &[
    &[("if", " "), ("case", " "), ("cond", " "), ("else", " "), ("for", " "), ("with", " "), ("try", " ")],
    &[("rescue", " "), ("catch", " "), ("not", " "), ("|>", " ")],
    AND_OR,
    COMPARE,
];
const CLOJURE: &[&[Decision]] = &[&[
    ("(=", " "),
    ("(and", " "),
    ("(cond", " "),
    ("(doseq", " "),
    ("(for", " "),
    ("(if", ""),
    ("(loop", " "),
    ("(not", " "),
    ("(not=", " "),
    ("(or", " "),
    ("(recur", " "),
    ("(when", ""),
]];
const JULIA: &[&[Decision]] = &[
    &[("for", " ("), ("if", " ("), ("elseif", " ("), ("while", " "), ("else", " ")],
    &[("try", " "), ("catch", " "), ("finally", " "), ("||", " "), ("&&", " ")],
];
const FSHARP: &[&[Decision]] =
    &[&[("for", " ("), ("if", " ("), ("match", " "), ("while", " "), ("else", " ")], COMPARE];
const CMAKE: &[&[Decision]] = &[
    &[("if", " ("), ("elseif", " ("), ("else", " ("), ("foreach", " ("), ("while", " (")],
    &[("AND", " "), ("OR", " "), ("EQUAL", " "), ("STREQUAL", " "), ("PATH_EQUAL", " "), ("VERSION_EQUAL", " ")],
];
const MAKE: &[&[Decision]] = &[
    COMMON,
    &[("ifdef", " "), ("ifeq", " "), ("ifndef", " "), ("ifneq", " "), ("define", " "), ("include", " ")],
    COMPARE,
];
const PASCAL: &[&[Decision]] = &[COMMON, COMPARE, &[("IF", " "), ("ELSE", " "), ("AND", " "), ("OR", " ")]];
const BASIC: &[&[Decision]] = &[COMMON, &[("elseif", " ")], COMPARE];
const MATLAB: &[&[Decision]] =
    &[&[("case", " "), ("elseif", " "), ("for", " "), ("if", " "), ("otherwise", " "), ("try", ""), ("while", " ")]];
const ZIG: &[&[Decision]] = &[
    &[("catch", " "), ("while", " "), ("for", " "), ("if", " "), ("else", " ")],
    &[("errdefer", " "), ("try", " "), ("switch", " "), ("orelse", " ")],
    &[("||", ""), ("&&", ""), ("!=", ""), ("==", "")],
];
const HCL: &[&[Decision]] = &[
    &[("count", ""), ("for", " "), ("for_each", ""), ("if", ""), (":", " "), ("?", " ")],
    &[(">", " "), (">=", " "), ("<", " "), ("<=", " ")],
    COMPARE,
];
const NONE: &[&[Decision]] = &[];

const C_LIKE: Syntax =
    Syntax { line: SLASHES, block: SLASH_STAR, quotes: DOUBLE, special: &[Special::Character], decisions: DEFAULT };
const SCRIPT: Syntax = Syntax { line: HASH, block: &[], quotes: BOTH, special: &[], decisions: DEFAULT };
const SHELL: Syntax =
    Syntax { line: HASH_WORD, block: &[], quotes: SHELL_QUOTES, special: &[Special::HereDocument], decisions: DEFAULT };
const PYTHON: Syntax =
    Syntax { line: HASH, block: &[], quotes: PYTHON_QUOTES, special: &[], decisions: &[PYTHON_WORDS] };
const LISP: Syntax =
    Syntax { line: SEMICOLON, block: &[nested("#|", "|#")], quotes: LISP_QUOTES, special: &[], decisions: DEFAULT };
const XML: Syntax = Syntax { line: &[], block: MARKUP, quotes: &[], special: &[], decisions: NONE };
const HASH_DATA: Syntax = Syntax { line: HASH_WORD, block: &[], quotes: BOTH, special: &[], decisions: NONE };
const JAVASCRIPT: Syntax = Syntax {
    line: SLASHES,
    block: SLASH_STAR,
    quotes: &[quote("\""), quote("'"), long("`")],
    special: &[],
    decisions: JS,
};
const PAGE: Syntax = Syntax {
    line: &[line_at("//", At::LineStart)],
    block: &[block("<!--", "-->"), block("/*", "*/")],
    quotes: &[],
    special: &[],
    decisions: DEFAULT,
};
const SQL: Syntax =
    Syntax { line: DASHES, block: SLASH_STAR_NESTED, quotes: SQL_QUOTES, special: &[], decisions: DEFAULT };
const HASKELL_LIKE: Syntax =
    Syntax { line: DASHES, block: BRACE_DASH, quotes: DOUBLE, special: &[Special::Character], decisions: HASKELL };
const ML: Syntax =
    Syntax { line: &[], block: PAREN_STAR, quotes: LISP_QUOTES, special: &[Special::Character], decisions: DEFAULT };
const RUBY: Syntax = Syntax {
    line: HASH_WORD,
    block: &[column0("=begin", "=end")],
    quotes: LONG_BOTH,
    special: &[Special::HereDocumentTight],
    decisions: DEFAULT,
};
const BASIC_LIKE: Syntax = Syntax {
    line: &[line("'"), Line { open: "rem", at: At::LineStartWord, any_case: true }],
    block: &[],
    quotes: BASIC_QUOTES,
    special: &[],
    decisions: BASIC,
};

/// Languages by Linguist's name, and what they look like.
pub(super) const SYNTAXES: &[(&[&str], Syntax)] = &[
    (
        &["C", "Cuda", "OpenCL", "HLSL", "GLSL", "Metal", "ShaderLab", "Unified Parallel C", "CWeb", "XC", "Pro*C"],
        Syntax { decisions: C, ..C_LIKE },
    ),
    (
        &["C++", "LoomScript", "SWIG"],
        Syntax { decisions: CPP, special: &[Special::Character, Special::CppRaw], ..C_LIKE },
    ),
    (&["Objective-C", "Objective-C++", "Logos"], Syntax { special: &[Special::Character, Special::CppRaw], ..C_LIKE }),
    (
        &["Java", "Apex", "Processing", "AspectJ"],
        Syntax { decisions: JAVA, quotes: &[long("\"\"\""), quote("\"")], ..C_LIKE },
    ),
    (
        &["C#", "Beef"],
        Syntax {
            decisions: CSHARP,
            quotes: &[raw("\"\"\"", "\"\"\""), raw("@\"", "\""), raw("$@\"", "\""), raw("@$\"", "\""), quote("\"")],
            ..C_LIKE
        },
    ),
    (
        &["JavaScript", "JavaScript+ERB", "CodeQL", "Qt Script", "Cycript", "JSONiq", "ZenScript", "ColdFusion CFC"],
        JAVASCRIPT,
    ),
    (&["TypeScript", "TSX", "Glimmer TS", "Glimmer JS"], Syntax { decisions: TS, ..JAVASCRIPT }),
    (
        &["QML", "ActionScript", "Haxe", "UnrealScript", "ECL", "Squirrel", "AngelScript", "Game Maker Language"],
        Syntax { quotes: BOTH, special: &[], ..C_LIKE },
    ),
    (
        &["Go", "V", "Odin"],
        Syntax { decisions: GO, quotes: &[quote("\""), raw("`", "`")], special: &[Special::Character], ..C_LIKE },
    ),
    (
        &["Rust", "RenderScript"],
        Syntax {
            block: SLASH_STAR_NESTED,
            quotes: &[long("\"")],
            special: &[Special::Character, Special::RustRaw],
            decisions: RUST,
            ..C_LIKE
        },
    ),
    (&["Python", "Cython", "Starlark", "GDScript", "Mojo", "Snakemake", "Sage", "Xonsh", "Easybuild"], PYTHON),
    (&["Meson", "Just", "NumPy", "Nushell", "Nasal", "GN", "BitBake"], SCRIPT),
    (&["Ruby", "Crystal", "Mirah"], RUBY),
    (&["HTML+ERB"], Syntax { block: &[block("<!--", "-->"), block("<%#", "%>")], decisions: DEFAULT, ..XML }),
    (
        &[
            "Shell",
            "Alpine Abuild",
            "Gentoo Ebuild",
            "Gentoo Eclass",
            "OpenRC runscript",
            "ShellSession",
            "Tcsh",
            "fish",
        ],
        SHELL,
    ),
    (
        &["Perl"],
        Syntax {
            line: HASH_WORD,
            block: &[
                column0("=pod", "=cut"),
                column0("=head", "=cut"),
                column0("=over", "=cut"),
                column0("=item", "=cut"),
                column0("=begin", "=cut"),
                column0("=encoding", "=cut"),
                column0("=for", "=cut"),
            ],
            quotes: LONG_BOTH,
            special: &[Special::HereDocumentTight],
            decisions: PERL,
        },
    ),
    (
        &["Raku"],
        Syntax {
            block: &[column0("=begin", "=end"), block("#`(", ")"), block("#`[", "]"), block("#`{", "}")],
            decisions: PERL,
            ..RUBY
        },
    ),
    (
        &["PHP", "Hack"],
        Syntax {
            line: &[line("//"), line_at("#", At::WordNoBracket)],
            block: SLASH_STAR,
            quotes: LONG_BOTH,
            special: &[Special::HereDocumentTriple],
            decisions: DEFAULT,
        },
    ),
    (
        &["Lua", "Luau", "Teal", "Terra"],
        Syntax {
            line: DASHES,
            block: &[],
            quotes: BOTH,
            special: &[Special::LongComment, Special::LongBracket],
            decisions: LUA,
        },
    ),
    (
        &["Kotlin"],
        Syntax {
            block: SLASH_STAR_NESTED,
            quotes: &[raw("\"\"\"", "\"\"\""), quote("\"")],
            decisions: KOTLIN,
            ..C_LIKE
        },
    ),
    (
        &["Swift"],
        Syntax {
            block: SLASH_STAR_NESTED,
            quotes: &[long("\"\"\""), quote("\"")],
            special: &[],
            decisions: SWIFT,
            ..C_LIKE
        },
    ),
    (
        &["Scala"],
        Syntax {
            block: SLASH_STAR_NESTED,
            quotes: &[raw("\"\"\"", "\"\"\""), quote("\"")],
            decisions: SCALA,
            ..C_LIKE
        },
    ),
    (
        &["Groovy", "Gradle", "Nextflow"],
        Syntax { quotes: &[long("\"\"\""), long("'''"), quote("\""), quote("'")], special: &[], ..C_LIKE },
    ),
    (
        &["Dart"],
        Syntax {
            block: SLASH_STAR_NESTED,
            quotes: &[long("\"\"\""), long("'''"), quote("\""), quote("'")],
            special: &[],
            ..C_LIKE
        },
    ),
    (
        &["D"],
        Syntax {
            block: &[block("/*", "*/"), nested("/+", "+/")],
            quotes: &[long("\""), raw("`", "`"), raw("r\"", "\"")],
            ..C_LIKE
        },
    ),
    (&["Solidity", "Cairo", "Move", "Vyper"], Syntax { quotes: BOTH, special: &[], decisions: SOLIDITY, ..C_LIKE }),
    (&["Zig"], Syntax { block: &[], quotes: &[quote("\"")], decisions: ZIG, ..C_LIKE }),
    (&["Vala", "Genie"], Syntax { quotes: &[raw("\"\"\"", "\"\"\""), quote("\"")], ..C_LIKE }),
    (
        &[
            "WGSL",
            "Slint",
            "Sway",
            "Noir",
            "Chapel",
            "Jai",
            "Bluespec",
            "Pony",
            "Ballerina",
            "Uno",
            "Gosu",
            "Ceylon",
            "Fantom",
            "Xtend",
            "Pike",
            "Ring",
            "Wren",
            "Carbon",
        ],
        Syntax { block: SLASH_STAR_NESTED, ..C_LIKE },
    ),
    (
        &[
            "Protocol Buffer",
            "Thrift",
            "FlatBuffers",
            "Slice",
            "WebIDL",
            "IDL",
            "WebAssembly Interface Type",
            "Smithy",
            "Bicep",
            "TypeSpec",
            "AIDL",
            "Cap'n Proto",
        ],
        Syntax { decisions: NONE, ..C_LIKE },
    ),
    (&["SCSS", "Less", "Stylus"], Syntax { quotes: BOTH, special: &[], ..C_LIKE }),
    (&["CSS", "PostCSS"], Syntax { line: &[], quotes: BOTH, special: &[], ..C_LIKE }),
    (&["Sass"], Syntax { quotes: BOTH, special: &[], ..C_LIKE }),
    (
        &[
            "Verilog",
            "SystemVerilog",
            "Stan",
            "Yacc",
            "Lex",
            "JFlex",
            "Linker Script",
            "Ragel",
            "ANTLR",
            "DTrace",
            "BlitzMax",
            "LSL",
            "Asymptote",
            "POV-Ray SDL",
            "SuperCollider",
            "Faust",
            "OpenSCAD",
            "OpenQASM",
            "Q#",
            "ChucK",
            "RPC",
            "Monkey C",
            "NWScript",
            "AGS Script",
            "SourcePawn",
            "Pawn",
            "NetLinx",
            "JASS",
            "MQL4",
            "MQL5",
            "Cadence",
            "X10",
            "ooc",
            "Nemerle",
            "Frege",
            "Reason",
            "ReScript",
            "Dafny",
            "Boogie",
            "Cypher",
            "AMPL",
            "GAMS",
            "Modelica",
            "Motoko",
            "Clarion",
            "P4",
            "NASL",
            "EdgeQL",
            "Prisma",
            "Grammatical Framework",
            "Open Policy Agent",
            "nesC",
            "BrighterScript",
            "Bison",
            "Jolie",
            "Opa",
            "Ox",
            "Quake",
            "REALbasic",
            "Rascal",
            "Self",
            "Volt",
            "Zephir",
            "wisp",
        ],
        C_LIKE,
    ),
    (
        &["JSON with Comments", "JSON5", "Jsonnet", "CUE", "Pkl"],
        Syntax {
            line: &[line("//"), line_at("#", At::LineStart)],
            quotes: BOTH,
            special: &[],
            decisions: NONE,
            ..C_LIKE
        },
    ),
    (
        &["HCL"],
        Syntax {
            line: &[line("//"), line("#")],
            quotes: DOUBLE,
            special: &[Special::HereDocument],
            decisions: HCL,
            ..C_LIKE
        },
    ),
    (
        &[
            "HTML",
            "XML",
            "SVG",
            "XSLT",
            "XML Property List",
            "XPages",
            "Maven POM",
            "Ant Build System",
            "Web Ontology Language",
            "Genshi",
            "Ecmarkup",
            "Markdown",
            "RMarkdown",
            "MDX",
            "XProc",
            "WebVTT",
        ],
        XML,
    ),
    (
        &[
            "Vue",
            "Svelte",
            "Astro",
            "Marko",
            "Riot",
            "ASP.NET",
            "HTML+Razor",
            "Java Server Pages",
            "Groovy Server Pages",
            "HTML+PHP",
            "HTML+ECR",
        ],
        PAGE,
    ),
    (
        &["Handlebars", "Mustache"],
        Syntax {
            block: &[block("{{!--", "--}}"), block("{{!", "}}"), block("<!--", "-->")],
            decisions: DEFAULT,
            ..XML
        },
    ),
    (
        &["Jinja", "Twig", "Nunjucks", "Liquid"],
        Syntax { block: &[block("{#", "#}"), block("<!--", "-->")], decisions: DEFAULT, ..XML },
    ),
    (&["Blade"], Syntax { block: &[block("{{--", "--}}"), block("<!--", "-->")], decisions: DEFAULT, ..XML }),
    (
        &["HTML+EEX"],
        Syntax {
            block: &[block("<%#", "%>"), block("<%!--", "--%>"), block("<!--", "-->")],
            decisions: DEFAULT,
            ..XML
        },
    ),
    (&["FreeMarker"], Syntax { block: &[block("<#--", "-->"), block("<!--", "-->")], decisions: DEFAULT, ..XML }),
    (&["EJS"], Syntax { block: &[block("<%#", "%>"), block("<!--", "-->")], decisions: DEFAULT, ..XML }),
    (&["ColdFusion"], Syntax { block: &[nested("<!---", "--->")], decisions: DEFAULT, ..XML }),
    (&["Smarty"], Syntax { block: &[block("{*", "*}"), block("<!--", "-->")], decisions: DEFAULT, ..XML }),
    (
        &["Go Template"],
        Syntax { block: &[block("{{/*", "*/}}"), block("{{- /*", "*/ -}}")], decisions: DEFAULT, ..XML },
    ),
    (
        &["Pug"],
        Syntax { line: &[line_at("//", At::LineStart)], block: &[], quotes: BOTH, special: &[], decisions: DEFAULT },
    ),
    (
        &["Haml"],
        Syntax { line: &[line_at("-#", At::LineStart)], block: &[], quotes: &[], special: &[], decisions: DEFAULT },
    ),
    (
        &["Slim"],
        Syntax { line: &[line_at("/", At::LineStart)], block: &[], quotes: &[], special: &[], decisions: DEFAULT },
    ),
    (&["SQL", "TSQL", "SQLPL", "HiveQL", "PLSQL"], SQL),
    (&["PLpgSQL"], Syntax { special: &[Special::DollarQuote], ..SQL }),
    (&["Haskell", "PureScript", "Agda", "Idris", "Dhall", "Literate Haskell", "Curry"], HASKELL_LIKE),
    (
        &["Elm"],
        Syntax {
            quotes: &[long("\"\"\""), quote("\"")],
            decisions: &[&[("case", " "), ("if", " ("), ("else", " ")], COMPARE],
            ..HASKELL_LIKE
        },
    ),
    (&["Lean", "Lean 4"], Syntax { block: &[nested("/-", "-/")], decisions: DEFAULT, ..HASKELL_LIKE }),
    (&["OCaml", "Standard ML", "Rocq Prover", "F*", "Wolfram Language", "Isabelle", "ATS", "UrWeb", "AppleScript"], ML),
    (
        &["F#"],
        Syntax {
            line: SLASHES,
            block: PAREN_STAR,
            quotes: &[raw("\"\"\"", "\"\"\""), raw("@\"", "\""), long("\"")],
            special: &[Special::Character],
            decisions: FSHARP,
        },
    ),
    (
        &["Pascal", "Component Pascal"],
        Syntax {
            line: SLASHES,
            block: &[block("{", "}"), block("(*", "*)")],
            quotes: &[bare("'")],
            special: &[],
            decisions: PASCAL,
        },
    ),
    (
        &["Modula-2", "Modula-3", "Oberon"],
        Syntax { line: &[], block: PAREN_STAR, quotes: &[bare("\""), bare("'")], special: &[], decisions: PASCAL },
    ),
    (
        &["Ada", "VHDL"],
        Syntax { line: DASHES, block: &[], quotes: BASIC_QUOTES, special: &[Special::Character], decisions: DEFAULT },
    ),
    (
        &["Eiffel", "Euphoria", "Alloy", "TLA", "Promela"],
        Syntax { line: DASHES, block: &[], quotes: DOUBLE, special: &[], decisions: DEFAULT },
    ),
    (&["Common Lisp", "Scheme", "Racket", "NewLisp", "PicoLisp", "Fennel", "Hy"], LISP),
    (&["Emacs Lisp"], Syntax { block: &[], ..LISP }),
    (&["Clojure", "Janet"], Syntax { block: &[], decisions: CLOJURE, ..LISP }),
    (
        &["WebAssembly"],
        Syntax { line: &[line(";;")], block: &[nested("(;", ";)")], quotes: DOUBLE, special: &[], decisions: DEFAULT },
    ),
    (&["Erlang"], Syntax { line: PERCENT, block: &[], quotes: DOUBLE, special: &[], decisions: DEFAULT }),
    (
        &["Elixir"],
        Syntax {
            line: HASH_WORD,
            block: &[],
            quotes: &[doc("\"\"\"", "\"\"\""), doc("'''", "'''"), long("\"")],
            special: &[],
            decisions: ELIXIR,
        },
    ),
    (
        &["Gleam"],
        Syntax {
            line: SLASHES,
            block: &[],
            quotes: &[long("\"")],
            special: &[],
            decisions: &[&[("case", " ")], COMPARE],
        },
    ),
    (
        &["TeX", "BibTeX Style", "PostScript"],
        Syntax { line: PERCENT, block: &[], quotes: &[], special: &[], decisions: DEFAULT },
    ),
    (
        &["Prolog", "Mercury", "Logtalk", "Oz", "Answer Set Programming"],
        Syntax { line: PERCENT, block: SLASH_STAR, quotes: DOUBLE, special: &[], decisions: DEFAULT },
    ),
    (&["MATLAB"], Syntax { line: PERCENT, block: &[nested("%{", "%}")], quotes: &[], special: &[], decisions: MATLAB }),
    (
        &["Julia"],
        Syntax {
            line: HASH,
            block: &[nested("#=", "=#")],
            quotes: &[long("\"\"\""), long("\"")],
            special: &[Special::Character],
            decisions: JULIA,
        },
    ),
    (&["R", "Rebol"], Syntax { line: HASH, block: &[], quotes: LONG_BOTH, special: &[], decisions: DEFAULT }),
    (&["Fortran Free Form"], Syntax { line: BANG, block: &[], quotes: BOTH, special: &[], decisions: DEFAULT }),
    (
        &["Fortran"],
        Syntax {
            line: &[line("!"), line_at("C", At::Column0), line_at("c", At::Column0), line_at("*", At::Column0)],
            block: &[],
            quotes: BOTH,
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &["COBOL"],
        Syntax {
            line: &[line("*>"), line_at("*", At::LineStart)],
            block: &[],
            quotes: &[bare("\""), bare("'")],
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &["ABAP"],
        Syntax {
            line: &[line_at("*", At::Column0), line("\"")],
            block: &[],
            quotes: &[bare("'")],
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &[
            "Visual Basic .NET",
            "VBA",
            "Visual Basic 6.0",
            "VBScript",
            "BASIC",
            "FreeBASIC",
            "QuickBASIC",
            "B4X",
            "Classic ASP",
            "PureBasic",
        ],
        BASIC_LIKE,
    ),
    (
        &["Batchfile"],
        Syntax {
            line: &[
                line_at("::", At::LineStart),
                Line { open: "rem", at: At::LineStartWord, any_case: true },
                Line { open: "@rem", at: At::LineStartWord, any_case: true },
            ],
            block: &[],
            quotes: &[],
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &["PowerShell"],
        Syntax { line: HASH_WORD, block: &[block("<#", "#>")], quotes: SHELL_QUOTES, special: &[], decisions: DEFAULT },
    ),
    (
        &["Tcl"],
        Syntax {
            line: &[line_at("#", At::LineStart), line(";#")],
            block: &[],
            quotes: &[],
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &["Awk", "jq", "Puppet", "Gnuplot"],
        Syntax { line: HASH_WORD, block: &[], quotes: DOUBLE, special: &[], decisions: DEFAULT },
    ),
    (
        &["CoffeeScript", "LiveScript"],
        Syntax {
            block: &[block("###", "###")],
            quotes: &[long("\"\"\""), long("'''"), long("\""), long("'")],
            ..SCRIPT
        },
    ),
    (
        &["Nim"],
        Syntax {
            block: &[nested("#[", "]#")],
            quotes: &[raw("\"\"\"", "\"\"\""), quote("\"")],
            special: &[Special::Character],
            decisions: DEFAULT,
            line: HASH,
        },
    ),
    (
        &["Nix"],
        Syntax {
            line: HASH,
            block: SLASH_STAR,
            quotes: &[long("\""), raw("''", "''")],
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &["CMake"],
        Syntax { line: HASH, block: &[block("#[[", "]]")], quotes: &[long("\"")], special: &[], decisions: CMAKE },
    ),
    (&["Makefile", "QMake"], Syntax { line: HASH, block: &[], quotes: &[], special: &[], decisions: MAKE }),
    (
        &["Dockerfile"],
        Syntax { line: &[line_at("#", At::LineStart)], block: &[], quotes: &[], special: &[], decisions: DEFAULT },
    ),
    (
        &["M4", "M4Sugar"],
        Syntax {
            line: &[line("dnl"), line_at("#", At::Word)],
            block: &[],
            quotes: &[],
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &[
            "YAML",
            "TOML",
            "Git Config",
            "Ignore List",
            "EditorConfig",
            "Dotenv",
            "Java Properties",
            "Nginx",
            "ApacheConf",
            "Git Attributes",
            "Protocol Buffer Text Format",
            "RPM Spec",
            "Gemfile.lock",
            "SSH Config",
            "Caddyfile",
            "HAProxy",
            "Option List",
            "Salt",
            "Gherkin",
            "Procfile",
            "Kickstart",
            "CODEOWNERS",
            "MiniYAML",
            "OASv2-yaml",
            "OASv3-yaml",
            "SELinux Policy",
            "Turtle",
            "SPARQL",
            "Hosts File",
        ],
        HASH_DATA,
    ),
    (&["INI"], Syntax { line: &[line_at("#", At::LineStart), line_at(";", At::LineStart)], ..HASH_DATA }),
    (&["DNS Zone"], Syntax { line: SEMICOLON, ..HASH_DATA }),
    (&["GraphQL"], Syntax { quotes: &[doc("\"\"\"", "\"\"\""), quote("\"")], ..HASH_DATA }),
    (
        &["Unix Assembly", "Assembly", "Motorola 68K Assembly", "LLVM", "Jasmin"],
        Syntax {
            line: &[line(";"), line("//"), line_at("#", At::LineStart), line_at("@", At::LineStart)],
            block: SLASH_STAR,
            quotes: DOUBLE,
            special: &[Special::Character],
            decisions: NONE,
        },
    ),
    (
        &["AutoHotkey", "NSIS", "Inno Setup", "Parrot Assembly"],
        Syntax {
            line: &[line_at(";", At::Word), line_at("#", At::LineStart)],
            block: SLASH_STAR,
            quotes: &[],
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &["Vim script"],
        Syntax {
            line: &[line_at("\"", At::LineStart), line_at("#", At::LineStart)],
            block: &[],
            quotes: &[bare("'")],
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &["Smalltalk"],
        Syntax {
            line: &[],
            block: &[block("\"", "\"")],
            quotes: &[raw("'", "'")],
            special: &[],
            decisions: &[&[("ifTrue:", " "), ("ifFalse:", " "), ("whileTrue:", " "), ("to:", " ")]],
        },
    ),
    (
        &["Forth", "Factor"],
        Syntax {
            line: &[line_at("\\", At::Word), line_at("!", At::Word)],
            block: &[block("( ", ")")],
            quotes: &[],
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &["Stata"],
        Syntax {
            line: &[line("//"), line_at("*", At::LineStart)],
            block: SLASH_STAR,
            quotes: DOUBLE,
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (
        &["SAS"],
        Syntax {
            line: &[line_at("*", At::LineStart)],
            block: SLASH_STAR,
            quotes: BOTH,
            special: &[],
            decisions: DEFAULT,
        },
    ),
    (&["APL"], Syntax { line: &[line("⍝")], block: &[], quotes: &[bare("'")], special: &[], decisions: NONE }),
    (&["PigLatin"], Syntax { ..SQL }),
    (
        &["AsciiDoc"],
        Syntax {
            line: &[line_at("//", At::Column0)],
            block: &[column0("////", "////")],
            quotes: &[],
            special: &[],
            decisions: NONE,
        },
    ),
    (
        &[
            "reStructuredText",
            "Text",
            "CSV",
            "TSV",
            "JSON",
            "Org",
            "Roff",
            "Textile",
            "Diff",
            "Rich Text Format",
            "Jupyter Notebook",
        ],
        PLAIN,
    ),
];

/// Editor modes of languages without an entry, and whose syntax they take.
pub(super) const MODES: &[(&str, &str)] = &[
    ("text/x-csrc", "C"),
    ("text/x-c++src", "C++"),
    ("text/x-objectivec", "Objective-C"),
    ("text/x-java", "Java"),
    ("text/x-csharp", "C#"),
    ("text/x-scala", "Scala"),
    ("text/x-kotlin", "Kotlin"),
    ("text/x-swift", "Swift"),
    ("text/x-rustsrc", "Rust"),
    ("text/x-go", "Go"),
    ("text/x-d", "D"),
    ("text/javascript", "JavaScript"),
    ("application/javascript", "JavaScript"),
    ("application/typescript", "TypeScript"),
    ("text/x-python", "Python"),
    ("text/x-ruby", "Ruby"),
    ("text/x-sh", "Shell"),
    ("text/x-perl", "Perl"),
    ("text/x-lua", "Lua"),
    ("application/x-httpd-php", "PHP"),
    ("text/x-haskell", "Haskell"),
    ("text/x-ocaml", "OCaml"),
    ("text/x-pascal", "Pascal"),
    ("text/x-common-lisp", "Common Lisp"),
    ("text/x-scheme", "Scheme"),
    ("text/x-clojure", "Clojure"),
    ("text/x-erlang", "Erlang"),
    ("text/x-vb", "VBA"),
    ("text/x-sql", "SQL"),
    ("text/x-stex", "TeX"),
    ("text/x-tcl", "Tcl"),
    ("text/x-coffeescript", "CoffeeScript"),
    ("text/x-systemverilog", "SystemVerilog"),
    ("text/x-webidl", "WebIDL"),
    ("text/x-fortran", "Fortran Free Form"),
    ("text/css", "CSS"),
    ("text/xml", "XML"),
    ("text/html", "HTML"),
    ("text/x-yaml", "YAML"),
    ("text/x-properties", "Java Properties"),
    ("text/x-cmake", "CMake"),
    ("text/x-common-lisp", "Common Lisp"),
];
