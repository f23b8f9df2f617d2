//! What an injected fault does to one exchange. Which exchange meets which is `cassette`'s; here it looks as it does on the
//! wire, so that the host's own tries and budgets are part of what is tried out.

use super::{EgressError, Request, Response};
use crate::cassette::Fault;

/// Statuses with which servers say when to come back.
const ASK_TO_WAIT: [u16; 2] = [429, 503];

/// What comes in place of the exchange, if that does not take place.
pub(super) async fn instead(fault: Option<Fault>, request: &Request) -> Option<Result<Response, EgressError>> {
    match fault? {
        Fault::Status(status) => Some(Ok(answer(status, request))),
        Fault::Reset => Some(Err(EgressError::Connection("the connection was reset (by --fault)".to_owned()))),
        Fault::Timeout => Some(Err(EgressError::Timeout(request.timeout))),
        Fault::Drip(time) => {
            tokio::time::sleep(time).await;
            None
        }
        Fault::Truncate(_) => None,
    }
}

/// What becomes of an answer.
pub(super) fn afterwards(fault: Option<Fault>, answer: &mut Response) {
    if let Some(Fault::Truncate(bytes)) = fault {
        answer.body.truncate(bytes);
    }
}

fn answer(status: u16, request: &Request) -> Response {
    let mut headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    if ASK_TO_WAIT.contains(&status) {
        headers.push(("retry-after".to_owned(), "1".to_owned()));
    }
    Response { status, url: request.url.to_string(), headers, body: "a fault that was put in by --fault".into() }
}
