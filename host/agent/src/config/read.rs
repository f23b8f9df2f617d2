//! From text to a tree in which every value knows its line and column, for YAML and for JSON alike. Low: it knows no
//! setting. What it guarantees to those above: keys are text and unique, depth and size are bounded (aliases expanded
//! and counted), and nothing is guessed: what YAML offers beyond JSON's values, one document, comments, anchors and
//! aliases is refused with what to write instead.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use serde_json::Number;

use super::fault::{Faults, Place, quoted};

/// Bytes of a configuration file. The largest that people write by hand have a few hundred kilobytes.
pub(super) const FILE_BYTES_MAX: usize = 4 << 20;

/// Lists and mappings within one another. Ours need 6; integrations' own configuration may add some.
const DEPTH_MAX: usize = 64;

/// Weight of the tree with all aliases expanded, where a value weighs [`NODE_WEIGHT`] and its text's bytes: stops a
/// small file whose aliases multiply. Sixteen times the largest file.
const TREE_WEIGHT_MAX: usize = 64 << 20;

/// What a value costs beside its text: about its size in memory.
const NODE_WEIGHT: usize = 64;

/// A value and where it is written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub at: Place,
    pub value: Value,
}

/// What JSON can say.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// A value whose fault has been named: those above take it for absent and say nothing more.
    Faulty,
}

/// A text, and how it was written if variables were put into it since. Faults quote that and no variable's value, except
/// of names and paths, which are shown everywhere.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub value: String,
    pub written: Option<String>,
}

impl Text {
    /// The text for a fault.
    pub fn shown(&self) -> String {
        quoted(self.written.as_ref().unwrap_or(&self.value))
    }
}

/// A key of a mapping, where it stands, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub key: String,
    pub at: Place,
    pub node: Node,
}

impl Node {
    /// The value's kind, for a fault.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null | Value::Faulty => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The value as JSON. Recursive; the tree's depth is bounded.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Faulty => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(value) => value.clone().into(),
            Value::Text(text) => text.value.clone().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    fn weight(&self) -> usize {
        NODE_WEIGHT
            + match &self.value {
                Value::Null | Value::Faulty | Value::Bool(_) | Value::Number(_) => 0,
                Value::Text(text) => text.value.len(),
                Value::List(items) => items.iter().map(Node::weight).sum(),
                Value::Map(entries) => entries.iter().map(|entry| entry.key.len() + entry.node.weight()).sum(),
            }
    }
}

/// The language of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Yaml,
    Json,
}

/// Reads a text. None if it cannot be read on, with the reason among the faults; faults that do not prevent reading (a
/// key that is there twice) are added beside a tree.
pub(super) fn read(bytes: &[u8], form: Form, faults: &mut Faults) -> Option<Node> {
    let start = Place { line: 1, column: 1 };
    if bytes.len() > FILE_BYTES_MAX {
        let fault = format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20);
        faults.add(Place::default(), "", fault, "give the configuration itself, without data");
        return None;
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        faults.add(start, "", "it is UTF-16", "save the file as UTF-8");
        return None;
    }
    // Editors on Windows put the mark of UTF-8 first; it means nothing.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            faults.add(place_after(&good), "", "it is not valid UTF-8", "save the file as UTF-8");
            return None;
        }
    };
    let mut tree = Tree::new(faults);
    let read = match form {
        Form::Yaml => yaml(text, &mut tree),
        Form::Json => json(text, &mut tree),
    };
    match (read, tree.root) {
        (Ok(()), Some(root)) => Some(root),
        (Ok(()), None) => {
            faults.add(
                start,
                "",
                "it is empty",
                "write the configuration; `agent config schema` says what it may hold",
            );
            None
        }
        (Err(Stop { at, fault, mend }), _) => {
            faults.add(at, "", fault, mend);
            None
        }
    }
}

/// The place that follows a text.
fn place_after(text: &str) -> Place {
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Place { line: line as u32, column: column as u32 }
}

/// A fault after which there is no sense in reading on.
struct Stop {
    at: Place,
    fault: Cow<'static, str>,
    mend: Cow<'static, str>,
}

fn stop<T>(at: Place, fault: impl Into<Cow<'static, str>>, mend: impl Into<Cow<'static, str>>) -> Result<T, Stop> {
    Err(Stop { at, fault: fault.into(), mend: mend.into() })
}

/// A tree under construction: both languages only open, close and add.
struct Tree<'f> {
    faults: &'f mut Faults,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    weight: usize,
}

/// A list or mapping whose end has not come.
struct Open {
    node: Node,
    /// The key that waits for its value.
    key: Option<(String, Place)>,
    /// The keys so far, with their lines.
    seen: HashMap<String, u32>,
    anchor: usize,
}

impl<'f> Tree<'f> {
    fn new(faults: &'f mut Faults) -> Tree<'f> {
        Tree { faults, open: Vec::new(), root: None, anchors: HashMap::new(), weight: 0 }
    }

    /// Whether the next scalar is a key.
    fn wants_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.key.is_none() && matches!(open.node.value, Value::Map(_)))
    }

    fn charge(&mut self, at: Place, weight: usize) -> Result<(), Stop> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight > TREE_WEIGHT_MAX {
            return stop(at, "too many values, counting what aliases repeat", "write less, or use fewer aliases");
        }
        Ok(())
    }

    fn begin(&mut self, at: Place, value: Value, anchor: usize) -> Result<(), Stop> {
        if self.wants_key() {
            return stop(at, "a key is a list or a mapping", "write a text as the key");
        }
        if self.open.len() == DEPTH_MAX {
            return stop(at, format!("more than {DEPTH_MAX} levels within one another"), "flatten it");
        }
        self.charge(at, NODE_WEIGHT)?;
        self.open.push(Open { node: Node { at, value }, key: None, seen: HashMap::new(), anchor });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Stop> {
        match self.open.pop() {
            Some(open) => self.attach(open.node, open.anchor),
            None => Ok(()),
        }
    }

    fn key(&mut self, at: Place, key: String) -> Result<(), Stop> {
        self.charge(at, key.len())?;
        if let Some(open) = self.open.last_mut() {
            open.key = Some((key, at));
        }
        Ok(())
    }

    fn scalar(&mut self, at: Place, value: Value, anchor: usize) -> Result<(), Stop> {
        let node = Node { at, value };
        self.charge(at, node.weight())?;
        self.attach(node, anchor)
    }

    /// Puts a finished value where it belongs.
    fn attach(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            self.charge(node.at, node.weight())?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut open.node.value, open.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some((key, at))) => match open.seen.get(&key) {
                Some(first) => {
                    let fault = format!("the key {} is here twice; first on line {first}", quoted(&key));
                    self.faults.add(at, "", fault, "remove one of the two");
                }
                None => {
                    open.seen.insert(key.clone(), at.line);
                    entries.push(Entry { key, at, node });
                }
            },
            // Only mappings have keys, and nothing is attached to a mapping without one.
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, at: Place, anchor: usize) -> Result<(), Stop> {
        if self.wants_key() {
            return stop(at, "a key is an alias", "write the key itself");
        }
        // An anchor is known once its value is complete: one that holds itself is not.
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            return stop(at, "an alias stands within the value that it repeats", "write the value itself");
        };
        if self.open.len() + depth(&node) > DEPTH_MAX {
            return stop(at, format!("more than {DEPTH_MAX} levels within one another"), "flatten it");
        }
        self.charge(at, node.weight())?;
        self.attach(node, 0)
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.node)).max().unwrap_or(0),
        _ => 0,
    }
}

fn yaml(text: &str, tree: &mut Tree<'_>) -> Result<(), Stop> {
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = Place { line: error.marker().line() as u32, column: error.marker().col() as u32 + 1 };
            let mend = "mend the YAML here or on the line before; texts with special characters want quotes";
            Stop { at, fault: format!("it is not valid YAML: {}", error.info()).into(), mend: mend.into() }
        })?;
        let at = place(span);
        match event {
            Event::DocumentStart(_) if documents == 1 => {
                return stop(at, "a second document begins here", "keep one document in a file");
            }
            Event::DocumentStart(_) => documents += 1,
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(at, tag.as_deref(), "seq")?;
                tree.begin(at, Value::List(Vec::new()), anchor)?;
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(at, tag.as_deref(), "map")?;
                tree.begin(at, Value::Map(Vec::new()), anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => tree.end()?,
            Event::Alias(anchor) => tree.alias(at, anchor)?,
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(at, tag.as_deref(), "str")?;
                let plain = style == ScalarStyle::Plain && tag.is_none();
                if !tree.wants_key() {
                    let value = if plain { plain_scalar(at, &text)? } else { text_value(&text) };
                    tree.scalar(at, value, anchor)?;
                } else if plain && text == "<<" {
                    return stop(at, "`<<` (a merge key) is not part of YAML 1.2", "write the settings out");
                } else {
                    tree.key(at, text.into_owned())?;
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }
    // A document without anything in it is a null to YAML; to us the file is empty.
    if tree.root.as_ref().is_some_and(|root| matches!(root.value, Value::Null)) {
        tree.root = None;
    }
    Ok(())
}

fn place(span: Span) -> Place {
    Place { line: span.start.line() as u32, column: span.start.col() as u32 + 1 }
}

/// Tags are refused except the one that says what the value is anyway, or that makes a text of it.
fn refuse_tag(at: Place, tag: Option<&Tag>, allowed: &str) -> Result<(), Stop> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == allowed) => stop(
            at,
            format!("the tag {} is not known", quoted(&tag.to_string())),
            "leave the tag out; put texts in quotes",
        ),
        _ => Ok(()),
    }
}

fn text_value(text: &str) -> Value {
    Value::Text(Text { value: text.to_owned(), written: None })
}

/// What a plain scalar means in YAML 1.2's core schema.
fn plain_scalar(at: Place, text: &str) -> Result<Value, Stop> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" | ".inf" | "-.inf" | "+.inf" | ".Inf" | "-.Inf" | "+.Inf" | ".INF" | "-.INF"
        | "+.INF" => {
            return stop(
                at,
                format!("{} is a number that JSON does not have", quoted(text)),
                "put it in quotes, or leave it out",
            );
        }
        _ => match number(text) {
            Numeral::Exact(number) => Value::Number(number),
            Numeral::NotOne => text_value(text),
            Numeral::TooLarge => {
                return stop(at, format!("the number {} cannot be kept exactly", quoted(text)), "put it in quotes");
            }
        },
    })
}

enum Numeral {
    Exact(Number),
    TooLarge,
    NotOne,
}

/// A number of YAML's core schema (JSON's are among them).
fn number(text: &str) -> Numeral {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let radix = |prefix: &str, radix: u32| {
        let digits = text.strip_prefix(prefix)?;
        let all = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        all.then(|| u64::from_str_radix(digits, radix).map_or(Numeral::TooLarge, |value| Numeral::Exact(value.into())))
    };
    if let Some(numeral) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return numeral;
    }
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return match (text.trim_start_matches('+').parse::<u64>(), text.parse::<i64>()) {
            (Ok(value), _) => Numeral::Exact(value.into()),
            (_, Ok(value)) => Numeral::Exact(value.into()),
            _ => Numeral::TooLarge,
        };
    }
    let starts_well = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let only_these = digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    if !(starts_well && only_these && digits.bytes().any(|byte| byte.is_ascii_digit())) {
        return Numeral::NotOne;
    }
    match text.parse::<f64>() {
        Ok(value) => Number::from_f64(value).map_or(Numeral::TooLarge, Numeral::Exact),
        Err(_) => Numeral::NotOne,
    }
}

/// JSON, judged by a parser for JSON, so that what is wrong is said in its terms; then walked again for the places.
fn json(text: &str, tree: &mut Tree<'_>) -> Result<(), Stop> {
    if text.trim().is_empty() {
        return Ok(());
    }
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
        return stop_json(Place { line: error.line() as u32, column: error.column() as u32 }, &error);
    }
    let (mut rest, mut at) = (text, Place { line: 1, column: 1 });
    while let Some(first) = rest.chars().next() {
        let token = match first {
            '"' => &rest[..string_end(rest)],
            '{' | '}' | '[' | ']' | ',' | ':' => &rest[..1],
            _ if first.is_whitespace() => &rest[..first.len_utf8()],
            _ => &rest[..rest.find(|c: char| ",]}".contains(c) || c.is_whitespace()).unwrap_or(rest.len())],
        };
        match first {
            '{' => tree.begin(at, Value::Map(Vec::new()), 0)?,
            '[' => tree.begin(at, Value::List(Vec::new()), 0)?,
            '}' | ']' => tree.end()?,
            '"' => {
                let text: String = serde_json::from_str(token).or_else(|error| stop_json(at, &error))?;
                if tree.wants_key() { tree.key(at, text)? } else { tree.scalar(at, text_value(&text), 0)? }
            }
            ',' | ':' => {}
            _ if first.is_whitespace() => {}
            _ => tree.scalar(at, plain_scalar(at, token)?, 0)?,
        }
        if first == '\n' {
            at = Place { line: at.line + 1, column: 1 };
        } else {
            at.column += token.chars().count() as u32;
        }
        rest = &rest[token.len()..];
    }
    Ok(())
}

fn stop_json<T>(at: Place, error: &serde_json::Error) -> Result<T, Stop> {
    let mut said = error.to_string();
    // The parser appends the place; ours stands in front.
    if let Some(end) = said.rfind(" at line ") {
        said.truncate(end);
    }
    stop(
        at,
        format!("it is not valid JSON: {said}"),
        "mend the JSON here or just before; JSON has no comments and no comma after the last value",
    )
}

/// The end of the string literal that a valid JSON text begins with.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str, form: Form) -> Vec<String> {
        let mut faults = Faults::default();
        let node = read(text.as_bytes(), form, &mut faults);
        faults
            .into_result(node)
            .err()
            .map(|error| error.faults.iter().map(ToString::to_string).collect())
            .unwrap_or_default()
    }

    fn value_of(text: &str, form: Form) -> serde_json::Value {
        let mut faults = Faults::default();
        let node = read(text.as_bytes(), form, &mut faults);
        faults.into_result(node).unwrap().to_json()
    }

    #[test]
    fn yaml_and_json_give_the_same_tree() {
        let yaml = "a: 1\nb: [true, ~, 1.5, -3, 0x10, \"2\"]\nc:\n  d: x: y\n".replace("x: y", "'x: y'");
        let json = "{\"a\": 1,\n\t\"b\": [true, null, 1.5, -3, 16, \"2\"], \"c\": {\"d\": \"x: y\"}}";
        assert_eq!(value_of(&yaml, Form::Yaml), value_of(json, Form::Json));
    }

    #[test]
    fn json_strings_may_hold_anything() {
        let json = r#"{"a\"}": "\ud83d\ude00 \\ \u0041 ], ", "b": []}"#;
        assert_eq!(value_of(json, Form::Json), serde_json::from_str::<serde_json::Value>(json).unwrap());
    }

    #[test]
    fn places_count_lines_and_characters() {
        let mut faults = Faults::default();
        let Some(Node { value: Value::Map(entries), .. }) =
            read(b"{\n \"\xC3\xA4\": 1, \"b\":\n  [2]}", Form::Json, &mut faults)
        else {
            panic!()
        };
        assert_eq!((entries[1].at, entries[1].node.at), (Place { line: 2, column: 10 }, Place { line: 3, column: 3 }));
        let Some(Node { value: Value::Map(entries), .. }) =
            read("ä: 1\nb:\n  - 2\n".as_bytes(), Form::Yaml, &mut faults)
        else {
            panic!()
        };
        assert_eq!((entries[1].at, entries[1].node.at), (Place { line: 2, column: 1 }, Place { line: 3, column: 3 }));
    }

    #[test]
    fn all_duplicates_are_named() {
        let faults = faults_of("a: 1\na: 2\nb: {c: 1, c: 2}\n", Form::Yaml);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains(":2:1:") && faults[0].contains("first on line 1"), "{faults:?}");
        assert_eq!(faults_of("{\"a\": 1, \"a\": 2}", Form::Json).len(), 1);
    }

    #[test]
    fn aliases_repeat_values_and_cannot_multiply_without_bound() {
        assert_eq!(value_of("a: &x [1]\nb: *x\n", Form::Yaml)["b"], serde_json::json!([1]));
        let mut bomb = String::from("a0: &a0 [xxxxxxxxxx]\n");
        for level in 1..40 {
            bomb += &format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}, *a{0}]\n", level - 1);
        }
        assert!(faults_of(&bomb, Form::Yaml)[0].contains("too many values"));
        let big = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(1000));
        assert!(faults_of(&big, Form::Yaml)[0].contains("too many values"));
        assert!(faults_of("a: &a [*a]\n", Form::Yaml)[0].contains("within the value that it repeats"));
    }

    #[test]
    fn depth_is_bounded_in_both() {
        assert!(faults_of(&"- ".repeat(100_000), Form::Yaml)[0].contains("more than 64 levels"));
        assert!(
            faults_of(&"[".repeat(100_000), Form::Yaml)[0].contains("level")
                || faults_of(&"[".repeat(100_000), Form::Yaml)[0].contains("recursion")
        );
        let json = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(faults_of(&json, Form::Json)[0].contains("more than 64 levels"));
        assert!(faults_of(&"[".repeat(100_000), Form::Json)[0].contains("JSON"));
    }

    #[test]
    fn what_is_refused_says_so() {
        for (text, form, said) in [
            ("", Form::Yaml, "empty"),
            ("# only\n", Form::Yaml, "empty"),
            (" \n", Form::Json, "empty"),
            ("a: 1\n---\nb: 2\n", Form::Yaml, "second document"),
            ("a: !env X\n", Form::Yaml, "tag"),
            ("<<: {a: 1}\n", Form::Yaml, "merge key"),
            ("? [a]\n: 1\n", Form::Yaml, "a key is a list"),
            ("a: 123456789012345678901234567890\n", Form::Yaml, "cannot be kept exactly"),
            ("a: .inf\n", Form::Yaml, "JSON does not have"),
            ("a: [1\n", Form::Yaml, "not valid YAML"),
            ("{\"a\": 1,}", Form::Json, "not valid JSON"),
            ("{\"a\": \"\\ud800\"}", Form::Json, "not valid JSON"),
            ("{a: 1}", Form::Json, "not valid JSON"),
        ] {
            let faults = faults_of(text, form);
            assert!(faults.first().is_some_and(|fault| fault.contains(said)), "{text:?}: {faults:?}");
        }
        let mut faults = Faults::default();
        assert!(read(b"a: 1\nb: \xFF\n", Form::Yaml, &mut faults).is_none());
        let error = faults.into_result::<()>(None).unwrap_err();
        assert_eq!((error.faults[0].line, error.faults[0].column), (2, 4));
    }

    #[test]
    fn a_mark_of_utf_8_means_nothing() {
        let mut faults = Faults::default();
        assert_eq!(
            read(b"\xEF\xBB\xBFa: 1\n", Form::Yaml, &mut faults).unwrap().to_json(),
            serde_json::json!({"a": 1})
        );
    }
}
