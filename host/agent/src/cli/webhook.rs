//! `agent webhook`: hands an integration one event of its source, as if the source had sent it here.

use std::fmt;
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::calls::{
    CallArguments, Ended, carry_out, changes, document, failure, mutated, read_file, result, text_or_file,
};
use super::exit::Exit;
use super::source::pick;
use super::{CommandError, Global};
use crate::app::{self, AppError, Request};

const EXAMPLES: &str = "\
Examples:
  agent webhook mock --header x-mock-event=issue.updated --body '{\"ref_id\": \"P1-1\", \"title\": \"New\"}'
  agent webhook github --header x-github-event=push --header x-github-delivery=1 --body @push.json
  agent webhook --data '{\"headers\":{\"x-mock-event\":\"ping\"},\"body\":\"hello\"}' \\
      --pinpoint-root=. --integrations-json='[{\"name\":\"mock\"}]'

A signature is checked where the manifest says how the source signs, against the secret in the configuration: one that is
missing or wrong is refused before the integration sees anything. An event that the manifest does not list is refused,
where the manifest says which header names it.";

/// Hand an integration one webhook of its source
///
/// Header fields keep their order, and the body goes through byte by byte. No lock is taken: it works beside a running
/// agent.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("what").args(["body", "data", "data_file"]).required(true)))]
pub(super) struct Arguments {
    /// The integration's name; may be left out where there is only one
    name: Option<String>,

    /// A header field, NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE", conflicts_with_all = ["data", "data_file"])]
    header: Vec<String>,

    /// The body: a text, @FILE, or @- for standard input
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,

    /// Header fields and body in one document: {headers, body}; a body that is no text is sent as JSON
    #[arg(long, value_name = "JSON")]
    data: Option<String>,

    /// As --data, from a file
    #[arg(long, value_name = "FILE")]
    data_file: Option<PathBuf>,

    /// Check no signature: I vouch for this webhook, which I made or changed myself
    #[arg(long)]
    vouch: bool,

    #[command(flatten)]
    call: CallArguments,
}

/// What `--data` holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    #[serde(default)]
    headers: Headers,
    /// As it is written.
    #[serde(default)]
    body: Option<Box<RawValue>>,
}

/// Header fields in order, as an object (a value is a text or a list of them) or as pairs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Headers(Vec<(String, String)>);

/// Runs the subcommand.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<Exit, CommandError> {
    carry_out("webhook", &arguments.call, global, |loaded, logs, shutdown| async move {
        let request = arguments.webhook()?;
        let integration = pick(&loaded.config, arguments.name.as_deref())?;
        let report = app::call(loaded.config, integration, request, logs, shutdown).await?;
        let exit = Exit::of_call(&report);
        let mut json = result(&report, &loaded.notes, exit);
        json["mutated_objects"] = mutated(&report);
        json["webapp_response"] = report.result.get("response").cloned().unwrap_or_default();
        let text = failure(&report, &loaded.notes);
        Ok(Ended { json, text: text.unwrap_or_else(|| changes(&report, "the webhook was taken")), exit })
    })
}

impl Arguments {
    fn webhook(&self) -> Result<Request, AppError> {
        if let Some(body) = &self.body {
            let headers = self.header.iter().map(|text| pair(text)).collect::<Result<_, _>>()?;
            return Ok(Request::Webhook { headers, body: text_or_file("--body", body)?, vouched: self.vouch });
        }
        let (flag, bytes) = match (&self.data, &self.data_file) {
            (Some(text), _) => ("--data", text_or_file("--data", text)?),
            (None, Some(file)) => ("--data-file", read_file("--data-file", file)?),
            // clap requires one of them.
            (None, None) => return Err(AppError::Usage("give --body or --data".to_owned())),
        };
        let data: Data = document(flag, "{\"headers\": {\"name\": \"value\"}, \"body\": …}", &bytes)?;
        let Headers(headers) = data.headers;
        if let Some((name, _)) = headers.iter().find(|(name, _)| !is_name(name)) {
            return Err(AppError::Usage(format!("{flag}: `{}` is not the name of a header", name.escape_debug())));
        }
        let body = data.body.map_or_else(Vec::new, |body| bytes_of(&body));
        Ok(Request::Webhook { headers, body, vouched: self.vouch })
    }
}

/// A text's own bytes, nothing for null, and anything else as the JSON that was written.
fn bytes_of(body: &RawValue) -> Vec<u8> {
    match serde_json::from_str(body.get()) {
        Ok(Value::String(text)) => text.into_bytes(),
        Ok(Value::Null) => Vec::new(),
        _ => body.get().as_bytes().to_vec(),
    }
}

fn pair(text: &str) -> Result<(String, String), AppError> {
    let separator = text.find(['=', ':']);
    let pair = separator.map(|at| (text[..at].trim().to_owned(), text[at + 1..].trim().to_owned()));
    pair.filter(|(name, _)| is_name(name)).ok_or_else(|| {
        let fault = format!("--header {}: it is no header field; write name=value", text.escape_debug());
        AppError::Usage(fault)
    })
}

fn is_name(name: &str) -> bool {
    let mark = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || mark(byte))
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Headers, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("header fields: an object of texts, or a list of pairs")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    match value {
                        Value::Array(values) => {
                            for value in values {
                                fields.push((name.clone(), text::<A::Error>(&name, value)?));
                            }
                        }
                        value => {
                            let value = text::<A::Error>(&name, value)?;
                            fields.push((name, value));
                        }
                    }
                }
                Ok(Headers(fields))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Headers, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = list.next_element::<(String, String)>()? {
                    fields.push(field);
                }
                Ok(Headers(fields))
            }

            fn visit_unit<E: Error>(self) -> Result<Headers, E> {
                Ok(Headers::default())
            }
        }

        deserializer.deserialize_any(Fields)
    }
}

fn text<E: Error>(name: &str, value: Value) -> Result<String, E> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err(E::custom(format!("the header `{}` is no text", name.escape_debug()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_keep_their_order_and_repetitions() {
        let headers = |text: &str| serde_json::from_str::<Headers>(text).map(|headers| headers.0);
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        for (text, expected) in [
            (r#"{"z": "1", "a": "2", "z": "3"}"#, pairs(&[("z", "1"), ("a", "2"), ("z", "3")])),
            (r#"{"z": ["1", "2"], "n": 7}"#, pairs(&[("z", "1"), ("z", "2"), ("n", "7")])),
            (r#"[["b", "1"], ["a", "2"]]"#, pairs(&[("b", "1"), ("a", "2")])),
            ("null", pairs(&[])),
        ] {
            assert_eq!(headers(text).unwrap(), expected, "{text}");
        }
        assert!(headers(r#"{"a": {}}"#).unwrap_err().to_string().contains("`a` is no text"));
        assert!(headers("7").is_err());
    }

    #[test]
    fn a_body_goes_through_as_it_is() {
        let bytes = |text: &str| bytes_of(&serde_json::from_str::<Box<RawValue>>(text).unwrap());
        for (text, expected) in [
            (r#""a\u0000b""#, &b"a\0b"[..]),
            (r#"{"n": 1.00}"#, br#"{"n": 1.00}"#),
            ("null", b""),
            ("[1, 2]", b"[1, 2]"),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn a_field_is_a_name_and_a_value() {
        assert_eq!(pair("x-a=b=c").unwrap(), ("x-a".to_owned(), "b=c".to_owned()));
        assert_eq!(pair("X-A: b=c").unwrap(), ("X-A".to_owned(), "b=c".to_owned()));
        for wrong in ["", "x", "=v", "a b=c", "ä=1"] {
            assert!(pair(wrong).is_err(), "{wrong}");
        }
    }
}
