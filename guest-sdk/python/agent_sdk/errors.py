"""Exceptions: one for each case of the contract's errors, and finer ones for HTTP below them.

``except agent_sdk.Unavailable`` catches whatever may be tried again, wherever it comes from; ``except
agent_sdk.AgentError`` catches everything that the host refuses. Raised out of an integration, they become the same case
of the contract again; any other exception becomes ``other``, with its traceback in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Type

if TYPE_CHECKING:
    from .http import Response


class AgentError(Exception):
    """Why something failed. The message names the fault, the place and the mend."""

    #: The contract's case that this becomes when it leaves the integration.
    case = "Other"
    #: What stands before the message where only text goes on.
    prefix = ""

    @property
    def message(self) -> str:
        """The message, without the case."""
        return super().__str__()

    def __str__(self) -> str:
        return self.prefix + super().__str__()


class Denied(AgentError):
    """Not granted. The message is the grant that an operator would have to add."""

    case = "Denied"
    prefix = "denied: "


class Invalid(AgentError):
    """Something given is not acceptable: a configuration, a record, a mutation's data."""

    case = "Invalid"


class Limit(AgentError):
    """A limit would be passed. The message names the limit and its value."""

    case = "Limit"
    prefix = "limit: "


class Conflict(AgentError):
    """Not possible in this state: open children, a session that is open already."""

    case = "Conflict"


class Unavailable(AgentError):
    """Not possible now; it may be tried again."""

    case = "Unavailable"
    prefix = "unavailable: "


class NotSupported(AgentError):
    """The integration has nothing of this name: an onboarding kind, a mutation."""

    case = "NotSupported"
    prefix = "not supported: "


class NotFound(AgentError):
    """The thing to change does not exist."""

    case = "NotFound"
    prefix = "not found: "


class HttpError(AgentError):
    """A request without an answer, or with one that :meth:`agent_sdk.http.Response.raise_for_status` refuses."""


class HttpDenied(HttpError, Denied):
    """Not granted, or an address that guests may not reach. The message is the rule to add."""


class HttpInvalid(HttpError, Invalid):
    """The request is malformed: URL, method, header, option or body."""


class RateLimited(HttpError, Unavailable):
    """The server's budget is spent. ``until`` says until when (RFC 3339)."""

    def __init__(self, until: str) -> None:
        super().__init__(f"rate limited until {until}")
        self.until = until


class TimedOut(HttpError, Unavailable):
    """No answer within the time given."""


class TooLarge(HttpError, Limit):
    """The answer is larger than allowed; the message gives the limit."""


class TlsFailed(HttpError):
    """TLS failed."""


class DnsFailed(HttpError, Unavailable):
    """The name could not be resolved."""


class ConnectionFailed(HttpError, Unavailable):
    """The connection was refused or broken."""


class TooManyRequests(HttpError, Limit):
    """More than 32 requests under way. (For status 429 see :class:`StatusError`.)"""


class StatusError(HttpError):
    """The server answered with status 400 or more. ``response`` is its answer."""

    def __init__(self, message: str, response: "Response") -> None:
        super().__init__(message)
        self.response = response


class StatusDenied(StatusError, Denied):
    """Status 401 or 403."""


class StatusNotFound(StatusError, NotFound):
    """Status 404 or 410."""


class StatusUnavailable(StatusError, Unavailable):
    """Status 429, or 500 and more."""


def status_error(status: int) -> Type[StatusError]:
    """The exception for a status of 400 or more."""
    if status in (401, 403):
        return StatusDenied
    if status in (404, 410):
        return StatusNotFound
    return StatusUnavailable if status == 429 or status >= 500 else StatusError


_OF_HOST: dict[str, tuple[Type[AgentError], str]] = {
    "Error_Denied": (Denied, ""),
    "Error_Invalid": (Invalid, ""),
    "Error_Limit": (Limit, ""),
    "Error_Conflict": (Conflict, ""),
    "Error_Unavailable": (Unavailable, ""),
    "Error_Other": (AgentError, ""),
    "HttpError_Denied": (HttpDenied, ""),
    "HttpError_Invalid": (HttpInvalid, "the request is malformed: "),
    "HttpError_RateLimited": (RateLimited, ""),
    "HttpError_Timeout": (TimedOut, "no answer in time"),
    "HttpError_TooLarge": (TooLarge, "the answer is too large: "),
    "HttpError_Tls": (TlsFailed, "TLS: "),
    "HttpError_Dns": (DnsFailed, "DNS: "),
    "HttpError_Connection": (ConnectionFailed, "connection: "),
    "HttpError_Limit": (TooManyRequests, ""),
    "HttpError_Other": (HttpError, ""),
}


def from_host(refusal: Any) -> AgentError:
    """The exception for a case of the contract's ``error`` or ``http-error``, as the bindings give it."""
    kind, said = _OF_HOST.get(type(refusal).__name__, (AgentError, ""))
    return kind(said + getattr(refusal, "value", ""))
