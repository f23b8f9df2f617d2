//! Reads a GraphQL query: as much of the language as clients of an API write. What a field means is each simulator's own.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Levels of braces; more is an attack, and not a query.
const DEPTH_MAX: usize = 40;

/// A field that is asked for.
#[derive(Debug, Clone)]
pub struct Field {
    /// What it is called in the answer.
    pub alias: String,
    pub name: String,
    pub arguments: Vec<(String, Literal)>,
    /// `@include` and `@skip`, with what they depend on.
    pub only_if: Vec<(bool, Literal)>,
    pub selection: Vec<Selected>,
}

#[derive(Debug, Clone)]
pub enum Selected {
    Field(Field),
    /// Only on objects of this type, or of types that implement it.
    On(String, Vec<Selected>),
    /// `...Name`.
    Fragment(String),
}

#[derive(Debug, Clone)]
pub enum Literal {
    Variable(String),
    Value(Value),
    List(Vec<Literal>),
    Object(Vec<(String, Literal)>),
}

/// A document with one operation.
#[derive(Debug, Default)]
pub struct Document {
    pub mutation: bool,
    pub selection: Vec<Selected>,
    pub fragments: BTreeMap<String, (String, Vec<Selected>)>,
    /// Default values of variables.
    pub defaults: Map<String, Value>,
}

/// The value of a literal with these variables.
pub fn value(literal: &Literal, variables: &Map<String, Value>) -> Value {
    match literal {
        Literal::Variable(name) => variables.get(name).cloned().unwrap_or(Value::Null),
        Literal::Value(value) => value.clone(),
        Literal::List(items) => items.iter().map(|item| value(item, variables)).collect(),
        Literal::Object(members) => {
            members.iter().map(|(name, member)| (name.clone(), value(member, variables))).collect()
        }
    }
}

/// Reads a document.
pub fn parse(text: &str) -> Result<Document, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
    let mut document = Document::default();
    let mut operations = 0;
    while let Some(token) = parser.peek().map(str::to_owned) {
        match token.as_str() {
            "{" => document.selection = parser.selection()?,
            "query" | "mutation" => {
                parser.at += 1;
                document.mutation = token == "mutation";
                if parser.peek().is_some_and(is_name) {
                    parser.at += 1;
                }
                parser.variables(&mut document.defaults)?;
                document.selection = parser.selection()?;
            }
            "fragment" => {
                parser.at += 1;
                let name = parser.name()?;
                parser.expect("on")?;
                let on = parser.name()?;
                let selection = parser.selection()?;
                document.fragments.insert(name, (on, selection));
                continue;
            }
            other => return Err(format!("Expected an operation, got `{other}`")),
        }
        operations += 1;
    }
    if operations == 1 { Ok(document) } else { Err(format!("There must be one operation, and there are {operations}")) }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '#' => {
                rest = rest.split_once('\n').map_or("", |(_, rest)| rest).trim_start();
                continue;
            }
            ',' => {
                rest = rest[1..].trim_start();
                continue;
            }
            '"' => string_length(rest)?,
            '.' if rest.starts_with("...") => 3,
            '{' | '}' | '(' | ')' | '[' | ']' | ':' | '$' | '!' | '=' | '@' => 1,
            c if c.is_ascii_alphanumeric() || c == '_' || c == '-' => rest[1..]
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
                .map_or(rest.len(), |end| end + 1),
            other => return Err(format!("Parse error on `{other}`")),
        };
        found.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

fn string_length(text: &str) -> Result<usize, String> {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            '"' if !escaped => return Ok(at + 1),
            _ => escaped = character == '\\' && !escaped,
        }
    }
    Err("A text is not closed".to_owned())
}

struct Parser {
    tokens: Vec<String>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> Result<String, String> {
        let token = self.tokens.get(self.at).cloned().ok_or("The query ends too early")?;
        self.at += 1;
        Ok(token)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        let found = self.next()?;
        if found == token { Ok(()) } else { Err(format!("Expected `{token}`, got `{found}`")) }
    }

    fn name(&mut self) -> Result<String, String> {
        let token = self.next()?;
        if is_name(&token) { Ok(token) } else { Err(format!("Expected a name, got `{token}`")) }
    }

    fn variables(&mut self, defaults: &mut Map<String, Value>) -> Result<(), String> {
        if !self.take("(") {
            return Ok(());
        }
        while !self.take(")") {
            self.expect("$")?;
            let name = self.name()?;
            self.expect(":")?;
            while self.peek().is_some_and(|token| is_name(token) || matches!(token, "[" | "]" | "!")) {
                self.at += 1;
            }
            if self.take("=") {
                let literal = self.literal()?;
                defaults.insert(name, value(&literal, &Map::new()));
            }
        }
        Ok(())
    }

    fn selection(&mut self) -> Result<Vec<Selected>, String> {
        self.expect("{")?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("The query is deeper than {DEPTH_MAX} levels"));
        }
        let mut selection = Vec::new();
        while !self.take("}") {
            if self.take("...") {
                selection.push(match self.take("on") {
                    true => {
                        let on = self.name()?;
                        Selected::On(on, self.selection()?)
                    }
                    false => Selected::Fragment(self.name()?),
                });
            } else {
                selection.push(Selected::Field(self.field()?));
            }
        }
        self.depth -= 1;
        Ok(selection)
    }

    fn field(&mut self) -> Result<Field, String> {
        let first = self.name()?;
        let (alias, name) = if self.take(":") { (first, self.name()?) } else { (first.clone(), first) };
        let arguments = self.arguments()?;
        let mut only_if = Vec::new();
        while self.take("@") {
            let directive = self.name()?;
            let condition = self.arguments()?.into_iter().find(|(name, _)| name == "if");
            let (_, condition) = condition.ok_or("A directive needs `if`")?;
            only_if.push((directive == "include", condition));
        }
        let selection = if self.peek() == Some("{") { self.selection()? } else { Vec::new() };
        Ok(Field { alias, name, arguments, only_if, selection })
    }

    fn arguments(&mut self) -> Result<Vec<(String, Literal)>, String> {
        let mut arguments = Vec::new();
        if self.take("(") {
            while !self.take(")") {
                let name = self.name()?;
                self.expect(":")?;
                arguments.push((name, self.literal()?));
            }
        }
        Ok(arguments)
    }

    fn literal(&mut self) -> Result<Literal, String> {
        let token = self.next()?;
        Ok(match token.as_str() {
            "$" => Literal::Variable(self.name()?),
            "[" => {
                let mut items = Vec::new();
                while !self.take("]") {
                    items.push(self.literal()?);
                }
                Literal::List(items)
            }
            "{" => {
                let mut members = Vec::new();
                while !self.take("}") {
                    let name = self.name()?;
                    self.expect(":")?;
                    members.push((name, self.literal()?));
                }
                Literal::Object(members)
            }
            // Names of enums are texts here.
            name if is_name(name) && !matches!(name, "true" | "false" | "null") => {
                Literal::Value(Value::String(name.to_owned()))
            }
            json => Literal::Value(serde_json::from_str(json).map_err(|error| format!("{json}: {error}"))?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read() {
        let document = parse(
            r#"query Q($n: Int! = 3, $ids: [ID!]!) { # all of it
                a: repository(owner: "a \" b", name: $name, by: {field: UPDATED_AT, n: [1, -2.5, null]}) {
                  ... on Node { id } ...More
                  x @include(if: $with)
                } }
            fragment More on Repository { name }"#,
        )
        .unwrap();
        assert_eq!(document.defaults["n"], 3);
        let Selected::Field(field) = &document.selection[0] else { panic!("a field") };
        assert_eq!((field.alias.as_str(), field.name.as_str(), field.selection.len()), ("a", "repository", 3));
        let variables = Map::from_iter([("name".to_owned(), Value::from("r"))]);
        let arguments: Vec<Value> = field.arguments.iter().map(|(_, literal)| value(literal, &variables)).collect();
        assert_eq!(arguments[0], "a \" b");
        assert_eq!(arguments[2], serde_json::json!({ "field": "UPDATED_AT", "n": [1, -2.5, null] }));
        assert_eq!(document.fragments["More"].0, "Repository");
    }

    #[test]
    fn what_is_no_query_is_refused() {
        for text in ["", "{", "{ a(", "query { a } query { b }", "{ a: }", "{ \"a }", "% {}", "{ a(b: ) }"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"{ a ".repeat(50)).unwrap_err().contains("deeper"));
    }
}
