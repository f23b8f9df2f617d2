"""HTTP through the host: one request, or several at a time. Lists that come in pages have :mod:`agent_sdk.paging`.

Policy, credentials and redirects are the host's. An answer with a bad status is an answer until
:meth:`Response.raise_for_status`.
"""

from __future__ import annotations

import dataclasses
import json as jsonlib
from collections import deque
from typing import Any, Deque, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union
from urllib.parse import quote

from . import _host
from .errors import EXCERPT_BYTES, AgentError, HttpInvalid, Invalid, status_error
from .integration import header_find
from .session import to_json

#: Requests that the host lets one instance have under way.
UNDER_WAY_MAX = 32

#: Parameters of a query: pairs, or a mapping. None leaves one out, a list repeats it.
Params = Union[Mapping[str, Any], Sequence[Tuple[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Response:
    """An answer, whatever its status."""

    #: The status code, 100 to 599.
    status: int
    #: The URL that answered.
    url: str
    #: Header fields in order, names in lower case.
    headers: List[Tuple[str, str]]
    #: The whole body, decompressed.
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        return self.body.decode("utf-8", "replace")

    def header(self, name: str) -> Optional[str]:
        """The first header field of this name; capitals do not matter."""
        return header_find(self.headers, name)

    def json(self) -> Any:
        """The body, read as JSON. Raises :class:`~agent_sdk.AgentError` where it is none, with the body's beginning."""
        try:
            return jsonlib.loads(self.body)
        except ValueError as error:
            raise AgentError(f"the answer of {self.url} is not JSON: {error}; {self._excerpt()}") from None

    def raise_for_status(self) -> "Response":
        """Itself, if the status is below 400. Otherwise raises :class:`~agent_sdk.errors.StatusError`: one that is
        ``Unauthenticated`` for 401 and 403, ``NotFound`` for 404 and 410, ``Unavailable`` for 408, 429, 5xx and where the
        answer says to wait."""
        if self.status < 400:
            return self
        raise status_error(self)

    def _excerpt(self) -> str:
        cut = self.body[:EXCERPT_BYTES].decode("utf-8", "replace")
        return f"status {self.status}, body {jsonlib.dumps(cut, ensure_ascii=False)}"


class Pending:
    """A request under way. Dropping it cancels the request."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def take(self) -> Response:
        """Waits for the answer and takes it, once. Raises as :func:`request`."""
        if self._raw is None:
            raise Invalid("the answer of this request has been taken already")
        raw, self._raw = self._raw, None
        return _response(_host.call(_host.http.Pending.take, raw))


def request(
    method: str,
    url: str,
    *,
    params: Optional[Params] = None,
    headers: Optional[Mapping[str, str]] = None,
    auth: Optional[str] = None,
    json: Any = None,
    data: Union[bytes, str, None] = None,
    timeout: Optional[float] = None,
    max_body: Optional[int] = None,
    options: Optional[Mapping[str, str]] = None,
) -> Response:
    """Sends a request and waits for its answer.

    ``method`` is in capitals, ``url`` absolute. ``auth`` is the name of a credential, which the host puts in and the
    integration never sees. ``json`` or ``data`` is the body (at most 16 MiB). ``timeout`` is in seconds for the whole
    exchange, up to 600 (60 unless given). ``max_body`` is in bytes of the answer's body (16 MiB unless given, which is
    also the most). ``options`` are others by their names in the contract.

    Raises an :class:`~agent_sdk.errors.HttpError` where there is no answer.
    """
    wire = _wire(method, url, params, headers, auth, json, data, timeout, max_body, options)
    return _response(_host.call(_host.http.send, wire))


def get(url: str, **more: Any) -> Response:
    """``GET``; see :func:`request`."""
    return request("GET", url, **more)


def post(url: str, **more: Any) -> Response:
    """``POST``; see :func:`request`."""
    return request("POST", url, **more)


def put(url: str, **more: Any) -> Response:
    """``PUT``; see :func:`request`."""
    return request("PUT", url, **more)


def patch(url: str, **more: Any) -> Response:
    """``PATCH``; see :func:`request`."""
    return request("PATCH", url, **more)


def delete(url: str, **more: Any) -> Response:
    """``DELETE``; see :func:`request`."""
    return request("DELETE", url, **more)


def submit(
    method: str,
    url: str,
    *,
    params: Optional[Params] = None,
    headers: Optional[Mapping[str, str]] = None,
    auth: Optional[str] = None,
    json: Any = None,
    data: Union[bytes, str, None] = None,
    timeout: Optional[float] = None,
    max_body: Optional[int] = None,
    options: Optional[Mapping[str, str]] = None,
) -> Pending:
    """Sends a request and returns at once, so that up to 32 can be under way. Arguments as of :func:`request`."""
    wire = _wire(method, url, params, headers, auth, json, data, timeout, max_body, options)
    return Pending(_host.call(_host.http.submit, wire))


def wait_any(pendings: Sequence[Pending], timeout: float = 60.0) -> List[Pending]:
    """Waits until at least one of these has its answer, or so many seconds (at most 600) have passed. Returns those that
    have, in their order: none after the timeout."""
    open_ones = [pending for pending in pendings if pending._raw is not None]
    ready = _host.http.wait_any([pending._raw for pending in open_ones], round(timeout * 1000))
    return [open_ones[index] for index in ready]


def get_all(urls: Iterable[str], *, at_once: int = 8, **more: Any) -> Iterator[Response]:
    """``GET`` of many URLs, up to ``at_once`` (at most 32) under way; answers in the order of the URLs."""
    if not 1 <= at_once <= UNDER_WAY_MAX:
        raise Invalid(f"at_once is {at_once}; it can be 1 to {UNDER_WAY_MAX}")
    under_way: Deque[Pending] = deque()
    for url in urls:
        if len(under_way) == at_once:
            yield under_way.popleft().take()
        under_way.append(submit("GET", url, **more))
    while under_way:
        yield under_way.popleft().take()


def url_with(url: str, params: Optional[Params], *, replace: bool = False) -> str:
    """The URL with these parameters in its query, percent-encoded; in place of those of the same names if ``replace``."""
    if not params:
        return url
    given: Iterable[Tuple[str, Any]] = params.items() if isinstance(params, Mapping) else params
    pairs = [(name, one) for name, value in given for one in (value if isinstance(value, (list, tuple)) else [value])]
    rest, hash_sign, fragment = url.partition("#")
    path, _, query = rest.partition("?")
    parts = [part for part in query.split("&") if part]
    if replace:
        names = {quote(str(name), safe="") for name, _ in pairs}
        parts = [part for part in parts if part.partition("=")[0] not in names]
    parts += [f"{quote(str(name), safe='')}={quote(_param(value), safe='')}" for name, value in pairs if value is not None]
    return path + ("?" + "&".join(parts) if parts else "") + hash_sign + fragment


def _param(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _wire(
    method: str,
    url: str,
    params: Optional[Params],
    headers: Optional[Mapping[str, str]],
    auth: Optional[str],
    json: Any,
    data: Union[bytes, str, None],
    timeout: Optional[float],
    max_body: Optional[int],
    options: Optional[Mapping[str, str]],
) -> Any:
    fields = [(_host.text(name, "a header field"), _host.text(value, name)) for name, value in (headers or {}).items()]
    if json is not None:
        if data is not None:
            raise HttpInvalid("the request is malformed: give json or data, not both")
        data = to_json(json, "the request's body")
        if header_find(fields, "content-type") is None:
            fields.append(("content-type", "application/json"))
    known: Dict[str, Any] = {"auth": auth, "max-body": max_body}
    known["timeout-ms"] = None if timeout is None else round(timeout * 1000)
    known.update(options or {})
    pairs = [(name, _host.text(value, name)) for name, value in known.items() if value is not None]
    body = _host.text(data, "the request's body").encode() if isinstance(data, str) else data
    return _host.http.Request(method, _host.text(url_with(url, params), "a URL"), fields, body, pairs)


def _response(raw: Any) -> Response:
    return Response(raw.status, raw.url, raw.headers, raw.body)
