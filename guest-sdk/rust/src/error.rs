//! The one error type of the SDK. HTTP has a finer one of its own, which turns into this one with `?`.

use std::fmt;

use crate::bindings::agent::integration::types::Error as WireError;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of error it is: the contract's cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Not granted. The message is the grant that an operator would have to add.
    Denied,
    /// Something given is not acceptable: a configuration, a record, a mutation's data.
    Invalid,
    /// A limit would be passed. The message names the limit and its value.
    Limit,
    /// Not possible in this state: open children, a session that is open already.
    Conflict,
    /// Not possible now; the call may be repeated.
    Unavailable,
    /// The integration has nothing of this name: an onboarding kind, a mutation.
    NotSupported,
    /// The thing to change does not exist.
    NotFound,
    /// The source refused the credentials: they are wrong, have expired or may not do this.
    Unauthenticated,
    /// Anything else.
    Other,
}

/// Why something failed: a kind for programs and a message for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// An error of this kind. The message names the fault, the place and the mend.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into() }
    }

    /// An error of kind [`ErrorKind::Other`], of a text or of any other error: `text.parse().map_err(Error::msg)?`.
    #[must_use]
    pub fn msg(message: impl fmt::Display) -> Error {
        Error::new(ErrorKind::Other, message.to_string())
    }

    /// An error of kind [`ErrorKind::Invalid`].
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, message)
    }

    /// An error of kind [`ErrorKind::NotFound`].
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::NotFound, message)
    }

    /// An error of kind [`ErrorKind::NotSupported`]: `what` does not exist in this integration.
    #[must_use]
    pub fn not_supported(what: impl Into<String>) -> Error {
        Error::new(ErrorKind::NotSupported, what)
    }

    /// An error of kind [`ErrorKind::Unauthenticated`]: the source refused the credentials.
    #[must_use]
    pub fn unauthenticated(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Unauthenticated, message)
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message, without the kind.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn into_message(self) -> String {
        self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ErrorKind::Denied => "denied: ",
            ErrorKind::Limit => "limit: ",
            ErrorKind::Unavailable => "unavailable: ",
            ErrorKind::NotSupported => "not supported: ",
            ErrorKind::NotFound => "not found: ",
            // The contract has no case of its own for it; the host knows it by this beginning (docs/contract.md).
            ErrorKind::Unauthenticated => "unauthenticated: ",
            ErrorKind::Invalid | ErrorKind::Conflict | ErrorKind::Other => "",
        };
        write!(f, "{kind}{}", self.message)
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Error {
        Error::msg(format!("JSON: {error}"))
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Error {
        let (kind, message) = match error {
            WireError::Denied(message) => (ErrorKind::Denied, message),
            WireError::Invalid(message) => (ErrorKind::Invalid, message),
            WireError::Limit(message) => (ErrorKind::Limit, message),
            WireError::Conflict(message) => (ErrorKind::Conflict, message),
            WireError::Unavailable(message) => (ErrorKind::Unavailable, message),
            WireError::Other(message) => (ErrorKind::Other, message),
        };
        Error { kind, message }
    }
}

/// Says where an error happened, in front of its message. The kind stays.
pub trait Context<T> {
    /// `…?` becomes `.context("page 3 of the issues")?`.
    ///
    /// # Errors
    /// The error that was there, with `place` in front of its message.
    fn context(self, place: impl fmt::Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context(self, place: impl fmt::Display) -> Result<T> {
        self.map_err(|error| {
            let error: Error = error.into();
            Error::new(error.kind, format!("{place}: {}", error.message))
        })
    }
}
