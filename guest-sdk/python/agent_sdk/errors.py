"""Exceptions: one for each case of the contract's errors, and finer ones for HTTP below them.

``except agent_sdk.Unavailable`` catches whatever may be tried again, wherever it comes from; ``except
agent_sdk.AgentError`` catches everything that the host refuses. Raised out of an integration, they become the same case
of the contract again; any other exception becomes ``other``, with its traceback in the log.
"""

from __future__ import annotations

import datetime
import email.utils
import json
from typing import TYPE_CHECKING, Any, Optional, Type

if TYPE_CHECKING:
    from .http import Response

#: Bytes of a body that are quoted in an error.
EXCERPT_BYTES = 200


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


class Unauthenticated(AgentError):
    """The source refused the credentials: they are wrong, have expired or may not do this. The operator sees it as an exit
    code of its own. (What the *host* refuses is :class:`Denied`.)"""

    # The contract has no case for it; the host knows it by this beginning (docs/contract.md).
    prefix = "unauthenticated: "


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


class HttpRateLimited(HttpError, Unavailable):
    """The server's budget is spent. ``until`` says until when (RFC 3339)."""

    def __init__(self, until: str) -> None:
        super().__init__(f"rate limited until {until}")
        self.until = until


class HttpTimeout(HttpError, Unavailable):
    """No answer within the time given."""


class HttpTooLarge(HttpError, Limit):
    """The answer is larger than allowed; the message gives the limit."""


class HttpTls(HttpError):
    """TLS failed."""


class HttpDns(HttpError, Unavailable):
    """The name could not be resolved."""


class HttpConnection(HttpError, Unavailable):
    """The connection was refused or broken."""


class HttpLimit(HttpError, Limit):
    """More than 32 requests under way. (For status 429 see :class:`StatusError`.)"""


class StatusError(HttpError):
    """The server answered with status 400 or more. Its subclasses say what that means."""

    def __init__(self, response: "Response") -> None:
        self.response = response
        #: The status code, 400 to 599.
        self.status = response.status
        #: Seconds to wait before the request is worth repeating, where the server said so (``Retry-After``).
        self.retry_after_secs = _retry_after(response.header("retry-after"))
        #: Whether the budget of requests is spent (``X-RateLimit-Remaining: 0``): some servers answer 403 for it.
        self.budget_spent = response.header("x-ratelimit-remaining") == "0"
        waits = "" if self.retry_after_secs is None else f" (wait {self.retry_after_secs} s)"
        body = json.dumps(response.body[:EXCERPT_BYTES].decode("utf-8", "replace"), ensure_ascii=False)
        super().__init__(f"{response.url} answered {self.status}{waits}: {_advice(self.status)}; body {body}")

    @property
    def is_credentials(self) -> bool:
        """Whether the credentials are what is wrong: missing, expired, or without the right."""
        return self.status in (401, 403) and not self._asks_to_wait

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (408, 429, 500, 502, 503, 504) or self._asks_to_wait

    @property
    def _asks_to_wait(self) -> bool:
        """A server that names a time for a 403, or says that nothing is left, means its rate limit."""
        return self.retry_after_secs is not None or (self.status == 403 and self.budget_spent)


class StatusUnauthenticated(StatusError, Unauthenticated):
    """Status 401 or 403, unless the answer says to wait."""


class StatusNotFound(StatusError, NotFound):
    """Status 404 or 410."""


class StatusUnavailable(StatusError, Unavailable):
    """Status 408, 429, or 500 and more; and a 403 that says to wait."""


def status_error(response: "Response") -> StatusError:
    """The exception for an answer with a status of 400 or more."""
    error = StatusError(response)
    if error._asks_to_wait or error.status in (408, 429) or error.status >= 500:
        return StatusUnavailable(response)
    if error.status in (401, 403):
        return StatusUnauthenticated(response)
    return StatusNotFound(response) if error.status in (404, 410) else error


def _advice(status: int) -> str:
    """What to do about a status."""
    if status >= 500 and status != 504:
        return "it has a fault of its own; ask again later"
    return _ADVICE.get(status, "it refused")


_TOO_SLOW = "it was too slow; ask for less at a time, or again later"
_BAD_REQUEST = "it does not take this request; look at the parameters"
_NOT_THERE = "there is no such thing, or the credential may not see it"
_ADVICE = {
    400: _BAD_REQUEST,
    401: "it does not know who asks; grant a credential, or replace one that has expired, and name it with `auth`",
    403: "it does not allow this; the credential needs more rights, or its budget of requests is spent",
    404: _NOT_THERE,
    405: "it does not take this method here",
    408: _TOO_SLOW,
    410: _NOT_THERE,
    422: _BAD_REQUEST,
    429: "it was asked too often; wait, and ask less often",
    504: _TOO_SLOW,
}


def _retry_after(value: Optional[str]) -> Optional[int]:
    """``Retry-After``, in seconds or as a date."""
    value = (value or "").strip()
    if value.isascii() and value.isdigit():
        return int(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=datetime.timezone.utc)
    return max(0, int((at - datetime.datetime.now(datetime.timezone.utc)).total_seconds()))


class PagingError(AgentError):
    """Why there is no next page of a list, where the answers themselves were good (:mod:`agent_sdk.paging`)."""


class PagingRepeated(PagingError):
    """The server gave a page that it had given before, or led back to it."""


class PagingEndless(PagingError, Limit):
    """There are more pages than the ceiling (``pages_max``)."""


class PagingStuck(PagingError):
    """A whole page of items has the same key, so that the next page cannot be asked for by it."""


class PagingElsewhere(PagingError):
    """The next page is on another server; ``follow_elsewhere=True`` goes there, without credentials."""


class PagingBody(PagingError):
    """The answer is not what was expected; the message says what is wrong, and where."""


_OF_HOST: dict[str, tuple[Type[AgentError], str]] = {
    "Error_Denied": (Denied, ""),
    "Error_Invalid": (Invalid, ""),
    "Error_Limit": (Limit, ""),
    "Error_Conflict": (Conflict, ""),
    "Error_Unavailable": (Unavailable, ""),
    "Error_Other": (AgentError, ""),
    "HttpError_Denied": (HttpDenied, ""),
    "HttpError_Invalid": (HttpInvalid, "the request is malformed: "),
    "HttpError_RateLimited": (HttpRateLimited, ""),
    "HttpError_Timeout": (HttpTimeout, "no answer in time"),
    "HttpError_TooLarge": (HttpTooLarge, "the answer is too large: "),
    "HttpError_Tls": (HttpTls, "TLS: "),
    "HttpError_Dns": (HttpDns, "DNS: "),
    "HttpError_Connection": (HttpConnection, "connection: "),
    "HttpError_Limit": (HttpLimit, ""),
    "HttpError_Other": (HttpError, ""),
}


def from_host(refusal: Any) -> AgentError:
    """The exception for a case of the contract's ``error`` or ``http-error``, as the bindings give it."""
    kind, said = _OF_HOST.get(type(refusal).__name__, (AgentError, ""))
    return kind(said + getattr(refusal, "value", ""))
