//! From the contract's exports to the registered [`Integration`]: parses what comes in, writes what goes out,
//! translates errors, and sees to it that a panic is in the log before the trap.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::integration::{Data, Integration, ValidateResult, Webhook};

type Pairs = Vec<(String, String)>;

/// The six calls of an integration with its own types gone, so that one static can name them.
#[doc(hidden)]
pub struct Entry {
    pub(crate) describe: fn() -> Result<String>,
    pub(crate) validate_config: fn(&str) -> Result<String>,
    pub(crate) onboard: fn(&str, &str) -> Result<String>,
    pub(crate) export: fn(&str) -> Result<String>,
    pub(crate) mutate: fn(&str, String, &str) -> Result<String>,
    pub(crate) webhook: fn(Pairs, Vec<u8>, &str) -> Result<String>,
}

impl Entry {
    /// The calls of `I`.
    #[must_use]
    pub const fn of<I: Integration>() -> Entry {
        Entry {
            describe: || document(&I::describe()),
            validate_config: validate_config::<I>,
            onboard: |kind, config| document(&I::onboard(kind, parse(config)?)?),
            export: |config| document(&I::export(parse(config)?)?),
            mutate: |name, data, config| document(&I::mutate(name, Data::new(data), parse(config)?)?),
            webhook: |headers, body, config| document(&I::webhook(Webhook { headers, body }, parse(config)?)?),
        }
    }
}

/// A configuration that does not fit the type is an answer here and not an error: to find that out is what was asked.
fn validate_config<I: Integration>(config: &str) -> Result<String> {
    match parse(config) {
        Ok(config) => document(&I::validate_config(config)?),
        Err(error) => document(&ValidateResult::errors([error.to_string()])),
    }
}

fn parse<T: DeserializeOwned>(config: &str) -> Result<T> {
    serde_json::from_str(config).map_err(|error| Error::invalid(format!("the configuration does not fit: {error}")))
}

fn document(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::msg(format!("the result cannot be written as JSON: {error}")))
}

/// Puts a panic's message and place into the log. What follows is a trap, which on its own says neither.
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let message = info.payload_as_str().unwrap_or("the panic's payload is not text");
        crate::log::error(format!("panicked at {at}: {message}"), &[("at", &at)]);
    }));
}

#[cfg(target_arch = "wasm32")]
mod exports {
    //! The generated trait, implemented over the registered [`Entry`].

    use super::{Entry, Error, Pairs, install_panic_hook};
    use crate::bindings::Component;
    use crate::bindings::exports::agent::integration::integration::{
        Error as WireError, Guest, MutateError, OnboardError,
    };
    use crate::error::ErrorKind;

    unsafe extern "Rust" {
        // Defined by `register!` in the integration's crate. A link error that names it means that `register!` is
        // missing.
        safe static AGENT_SDK_REGISTERED_INTEGRATION: Entry;
    }

    fn entry() -> &'static Entry {
        install_panic_hook();
        &AGENT_SDK_REGISTERED_INTEGRATION
    }

    impl Guest for Component {
        fn describe() -> String {
            // `describe` has no error in the contract, and a manifest is plain text, lists and JSON values.
            (entry().describe)().expect("a manifest of text, lists and JSON values can be written as JSON")
        }

        fn validate_config(config: String) -> Result<String, WireError> {
            (entry().validate_config)(&config).map_err(WireError::from)
        }

        fn onboard_export(kind: String, config: String) -> Result<String, OnboardError> {
            (entry().onboard)(&kind, &config).map_err(|error| match error.kind() {
                ErrorKind::NotSupported => OnboardError::NotSupported,
                _ => OnboardError::Other(error.to_string()),
            })
        }

        fn export(config: String) -> Result<String, WireError> {
            (entry().export)(&config).map_err(WireError::from)
        }

        fn mutate(name: String, data: String, config: String) -> Result<String, MutateError> {
            (entry().mutate)(&name, data, &config).map_err(|error| match error.kind() {
                ErrorKind::NotSupported => MutateError::NotSupported,
                ErrorKind::NotFound => MutateError::NotFound(error.into_message()),
                ErrorKind::Invalid => MutateError::Invalid(error.into_message()),
                _ => MutateError::Other(error.to_string()),
            })
        }

        fn webhook(headers: Pairs, body: Vec<u8>, config: String) -> Result<String, WireError> {
            (entry().webhook)(headers, body, &config).map_err(WireError::from)
        }
    }

    impl From<Error> for WireError {
        fn from(error: Error) -> WireError {
            match error.kind() {
                ErrorKind::Denied => WireError::Denied(error.into_message()),
                ErrorKind::Invalid => WireError::Invalid(error.into_message()),
                ErrorKind::Limit => WireError::Limit(error.into_message()),
                ErrorKind::Conflict => WireError::Conflict(error.into_message()),
                ErrorKind::Unavailable => WireError::Unavailable(error.into_message()),
                ErrorKind::NotSupported | ErrorKind::NotFound | ErrorKind::Unauthenticated | ErrorKind::Other => {
                    WireError::Other(error.to_string())
                }
            }
        }
    }
}
