"""Lists that come in pages. Each kind of paging is a function that takes the URL of the list and gives an iterator of pages.

=====================================================  =======================================
The server says where the next page is                 Use
=====================================================  =======================================
in a header field ``Link: <…>; rel="next"``            :func:`link`
by a token in the body or a header field               :func:`token`, :func:`token_in_header`
not at all: ``page=1``, ``page=2``, …                  :func:`numbered`
not at all: ``offset=0``, ``offset=100``, …            :func:`offset`
not at all: ``since_id=<the last item's>``             :func:`keyset`
=====================================================  =======================================

::

    for page in paging.link(url, params={"per_page": 100}, auth="token", resume=issues.last_processed):
        issues.send_all(record(item) for item in page.items)
        if page.next:
            issues.checkpoint(page.next)

All of them take, by name:

- ``items_at``: where in a page's body the list is, as a JSON Pointer (``/data/items``); unless given, the body is the list.
- ``resume``: the position that an earlier run had come to (:attr:`Page.next`); None begins at the beginning.
- ``pages_max``: pages after which to give up; 100,000 unless given.
- whatever :func:`agent_sdk.http.get` takes: ``params``, ``headers``, ``auth``, ``timeout``, …; it goes with each request.

Each answer is checked with ``raise_for_status``. A page that comes twice, a list without end and a whole page of one key
raise a :class:`~agent_sdk.errors.PagingError`; the pages before it are good.

Only :func:`link` follows what the server says. A next page on another server (scheme, host and port) raises
:class:`~agent_sdk.errors.PagingElsewhere` unless ``follow_elsewhere=True`` is given; then it is asked for without the
credential and without header fields that could hold one.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Union
from urllib.parse import urljoin, urlsplit

from . import http, log
from .errors import PagingBody, PagingElsewhere, PagingEndless, PagingRepeated, PagingStuck

#: Pages of one list, unless the integration says otherwise: ten million items at a hundred a page. More is a server that
#: never ends, or a list that wants to be asked for in parts.
PAGES_MAX = 100_000

#: Header fields that go to another server as well: they say what may be answered.
_HARMLESS = ("accept", "accept-language", "content-type")

#: Where the next page is, from the items, the answer and the present position; None at the end.
_Next = Callable[[List[Any], http.Response, Optional[str]], Optional[str]]


@dataclasses.dataclass(frozen=True)
class Page:
    """A page."""

    #: The items, in the server's order. May be empty.
    items: List[Any]
    #: The answer, with its header fields and its whole body.
    response: http.Response
    #: Which page of this run it is, counted from 1.
    number: int
    #: Where the next page begins, for ``resume``; None after the last.
    next: Optional[str]


def link(url: str, *, follow_elsewhere: bool = False, **more: Any) -> Iterator[Page]:
    """Follows ``Link: <…>; rel="next"``, absolute or relative. The position is the next page's URL."""

    def step(items: List[Any], response: http.Response, at: Optional[str]) -> Optional[str]:
        targets = (_link_next(value) for name, value in response.headers if name.lower() == "link")
        target = next((target for target in targets if target is not None), None)
        return None if target is None else urljoin(response.url, target)

    def ask(position: str, first: str, given: Dict[str, Any]) -> http.Response:
        if _origin(position) == _origin(first):
            return http.get(position, **given)
        if not follow_elsewhere:
            raise PagingElsewhere(
                f"the next page of {first} is on another server, {position}; to ask for it, without the credential, "
                f"give follow_elsewhere=True"
            )
        log.warn("the next page is elsewhere, and is asked for without credentials", url=position)
        headers = {name: value for name, value in (given.get("headers") or {}).items() if name.lower() in _HARMLESS}
        options = {name: value for name, value in (given.get("options") or {}).items() if name != "auth"}
        return http.get(position, **{**given, "auth": None, "headers": headers, "options": options})

    return _pages(url, step, ask, **more)


def token(url: str, param: str, pointer: str, **more: Any) -> Iterator[Page]:
    """Sends the token that a JSON Pointer finds in a page's body (``/next_cursor``) as this parameter of the next request;
    ends where it is absent, null, false or empty. The position is the token."""

    def step(items: List[Any], response: http.Response, at: Optional[str]) -> Optional[str]:
        value = _point(response.json(), pointer, None)
        if value is None or value is False or value == "":
            return None
        if isinstance(value, str) or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            return str(value)
        raise PagingBody(f"the token at {pointer} of {response.url} is neither text nor a number: {value!r:.200}")

    return _pages(url, step, _by_param(param), **more)


def token_in_header(url: str, param: str, header: str, **more: Any) -> Iterator[Page]:
    """Sends the token in a header field of an answer as this parameter of the next request; ends where it is absent or
    empty. The position is the token."""
    return _pages(url, lambda items, response, at: response.header(header) or None, _by_param(param), **more)


def numbered(url: str, param: str, first: int = 1, **more: Any) -> Iterator[Page]:
    """Counts this parameter up until a page is empty. A page that is shorter than asked for does not end it: many servers
    give less than they are asked for. The position is the next page's number."""
    return _pages(url, _counted(lambda items: 1 if items else 0), _by_param(param), start=str(first), **more)


def offset(url: str, param: str, **more: Any) -> Iterator[Page]:
    """Counts this parameter up by the items that came, from 0 until a page is empty. The position is the next offset."""
    return _pages(url, _counted(len), _by_param(param), start="0", **more)


def keyset(url: str, param: str, key: Callable[[Any], Union[str, int]], **more: Any) -> Iterator[Page]:
    """Asks for what comes after the last item, by a key of it (an id, a time) in this parameter; the server must sort by
    that key, upwards. Ends at an empty page. Servers that take the key as *from* and not as *after* give the last item
    again: that ends it too, and the item comes twice, which the agent leaves out. The position is the key."""
    largest = 0

    def step(items: List[Any], response: http.Response, at: Optional[str]) -> Optional[str]:
        nonlocal largest
        if not items:
            return None
        last = str(key(items[-1]))
        if last != at:
            largest = max(largest, len(items))
            return last
        # Only what is known already: the end, unless there may be more of the same behind it.
        if len(items) > 1 and len(items) >= largest:
            raise PagingStuck(
                f"a whole page of {response.url} has the key `{last}`; ask for larger pages, or page by something that is unique"
            )
        return None

    return _pages(url, step, _by_param(param), overlapping=True, **more)


def _pages(
    url: str,
    step: _Next,
    ask: Callable[[str, str, Dict[str, Any]], http.Response],
    *,
    start: Optional[str] = None,
    overlapping: bool = False,
    items_at: str = "",
    resume: Optional[str] = None,
    pages_max: int = PAGES_MAX,
    params: Optional[http.Params] = None,
    **given: Any,
) -> Iterator[Page]:
    first = http.url_with(url, params)
    position = resume if resume is not None else start
    seen: Set[Any] = set()
    for number in range(1, pages_max + 1):
        response = http.get(first, **given) if position is None else ask(position, first, given)
        response.raise_for_status()
        items = _point(response.json(), items_at, _MISSING)
        if not isinstance(items, list):
            found = "nothing" if items is _MISSING else f"{type(items).__name__} and no list"
            raise PagingBody(f"there is {found} at `{items_at}` of the answer of {response.url}; items_at says where the list is")
        to = step(items, response, position)
        # The pages of a keyset may overlap, and their keys tell whether it goes on.
        marks = [(1, to)] if to is not None else []
        marks += [(0, hash(response.body))] if items and not overlapping else []
        if any(mark in seen for mark in marks):
            raise PagingRepeated(
                f"page {number} of {first}: the server gives the same page again; does it take the parameter that says "
                f"which page is wanted?"
            )
        seen.update(marks)
        # A page that only says that there are no more is none.
        if items or to is not None or start is None:
            yield Page(items, response, number, to)
        if to is None:
            return
        position = to
    raise PagingEndless(
        f"{first} has more than {pages_max} pages; ask for less, for example since a time, or raise pages_max"
    )


def _by_param(param: str) -> Callable[[str, str, Dict[str, Any]], http.Response]:
    return lambda position, first, given: http.get(http.url_with(first, {param: position}, replace=True), **given)


def _counted(count: Callable[[List[Any]], int]) -> _Next:
    def step(items: List[Any], response: http.Response, at: Optional[str]) -> Optional[str]:
        if at is None or not (at.isascii() and at.isdigit()):
            raise PagingBody(f"the position `{at}` is not a number; begin at the beginning")
        return str(int(at) + count(items)) if count(items) else None

    return step


def _link_next(field: str) -> Optional[str]:
    """The target of the first link of the field whose (first) ``rel`` has ``next`` among its words (RFC 8288)."""
    for target, attributes in re.findall(r'<([^>]*)>((?:[^<"]|"(?:[^"\\]|\\.)*"?)*)', field):
        bare = r';\s*([^=;,\s]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;,\s]*))'
        relations = [quoted or plain for name, quoted, plain in re.findall(bare, attributes) if name.lower() == "rel"]
        if relations and "next" in relations[0].lower().split():
            return str(target).strip()
    return None


_MISSING = object()


def _point(value: Any, pointer: str, otherwise: Any) -> Any:
    """What a JSON Pointer finds."""
    for name in pointer.split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            return otherwise
    return value


def _origin(url: str) -> Any:
    try:
        # To the host, as to a browser, a backslash is a slash, and ends the name of the server.
        parts = urlsplit(url.replace("\\", "/"))
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError as error:
        raise PagingBody(f"`{url}` is not the URL of a page: {error}") from None
    return parts.scheme, parts.hostname or "", port
