//! Lines for the log of this integration. A message is cut at 4,096 bytes by the host; at most 32 fields go with it,
//! their names cut at 64 bytes and their values at 1,024. What is printed to standard output and error goes to the log
//! as well.

use crate::host::log as wire;

/// Something failed and a person should look at it.
pub fn error(message: impl AsRef<str>, fields: &[(&str, &str)]) {
    write("error", message.as_ref(), fields);
}

/// Something is odd and the integration goes on.
pub fn warn(message: impl AsRef<str>, fields: &[(&str, &str)]) {
    write("warn", message.as_ref(), fields);
}

/// What an operator wants to see of a normal run.
pub fn info(message: impl AsRef<str>, fields: &[(&str, &str)]) {
    write("info", message.as_ref(), fields);
}

/// What the integration's author wants to see.
pub fn debug(message: impl AsRef<str>, fields: &[(&str, &str)]) {
    write("debug", message.as_ref(), fields);
}

/// Everything else.
pub fn trace(message: impl AsRef<str>, fields: &[(&str, &str)]) {
    write("trace", message.as_ref(), fields);
}

fn write(level: &str, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    wire::log(level, message, &fields);
}
