//! Why an export does not go on: the budget is spent, somebody asked it to end, or something went wrong. The first two are
//! no failure of what was read so far.

use agent_sdk::graphql::GraphqlError;
use agent_sdk::http::{HttpError, StatusError};
use agent_sdk::paging::{Fault, PagingError};
use agent_sdk::updated::from_now;
use agent_sdk::{Error, ErrorKind};

/// Why something is not gone on with.
#[derive(Debug)]
pub enum Stop {
    /// The budget is spent, until then if that is known. What has been read is good.
    Paused(Option<String>),
    /// The run has been asked to end. What has been read is good.
    Asked,
    /// Something went wrong.
    Failed(Error),
}

impl Stop {
    /// An error of a call that has nobody to pause for.
    pub fn into_error(self) -> Error {
        match self {
            Stop::Failed(error) => error,
            Stop::Asked => Error::new(ErrorKind::Unavailable, "the call was asked to end"),
            Stop::Paused(until) => {
                let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
                Error::new(ErrorKind::Unavailable, format!("the budget of requests is spent{until}"))
            }
        }
    }

    /// Whether this is a failure after which the next account or repository would fail in the same way.
    pub fn ends_all(&self) -> bool {
        matches!(self, Stop::Failed(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unauthenticated))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl From<GraphqlError> for Stop {
    fn from(error: GraphqlError) -> Stop {
        match error {
            GraphqlError::RateLimited(until) => Stop::Paused(until),
            other => Stop::Failed(other.into()),
        }
    }
}

impl From<HttpError> for Stop {
    fn from(error: HttpError) -> Stop {
        match error {
            HttpError::RateLimited(until) => Stop::Paused(Some(until)),
            other => Stop::Failed(other.into()),
        }
    }
}

impl From<StatusError> for Stop {
    fn from(error: StatusError) -> Stop {
        if error.budget_spent || error.retry_after_secs.is_some() {
            return Stop::Paused(error.retry_after_secs.map(from_now));
        }
        Stop::Failed(error.into())
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        match &fault.why {
            PagingError::Http(HttpError::RateLimited(until)) => Stop::Paused(Some(until.clone())),
            PagingError::Status(error) if error.budget_spent || error.retry_after_secs.is_some() => {
                error.clone().into()
            }
            _ => Stop::Failed(fault.into()),
        }
    }
}
