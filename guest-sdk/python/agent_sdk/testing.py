"""A stand-in for the host, so that an integration's tests run natively and quickly.

::

    with testing.Host() as host:
        host.answer("GET", "https://tickets.example.com/tickets", json=[{"id": 1}])
        host.export(Tickets, {"url": "https://tickets.example.com"})
        assert host.records["hello.Ticket"] == [{"ref_id": "1"}]

It keeps the contract's promises where a test sees them: only what is committed counts, cursors are given back to the next
export of the same host, and are held back by what was rolled back. It does not check the manifest, grants or limits, and
suppresses no unchanged records: for these there is ``agent export``.
"""

from __future__ import annotations

import dataclasses
import json as jsonlib
from types import SimpleNamespace, TracebackType
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Type, Union

from . import _host, errors
from .integration import Integration, MutateResult, ValidateResult, Webhook
from .session import Run


@dataclasses.dataclass
class Request:
    """A request as the integration made it."""

    method: str
    url: str
    headers: List[Tuple[str, str]]
    body: Optional[bytes]
    options: List[Tuple[str, str]]

    def json(self) -> Any:
        """The body, read as JSON."""
        return jsonlib.loads(self.body or b"null")


#: An answer: status, body, header fields.
Answer = Tuple[int, bytes, List[Tuple[str, str]]]


class Host:
    """The stand-in. One at a time; with ``with``."""

    def __init__(self) -> None:
        #: Committed records by model.
        self.records: Dict[str, List[Any]] = {}
        #: Committed cursors by session path.
        self.cursors: Dict[str, str] = {}
        #: What was skipped, and why, by session path.
        self.skipped: Dict[str, str] = {}
        #: Sessions that were rolled back, by path.
        self.rolled_back: List[str] = []
        #: Repositories whose export was committed.
        self.repos: List[Any] = []
        #: The state's values.
        self.state: Dict[str, str] = {}
        #: Requests in order.
        self.requests: List[Request] = []
        #: Lines of the log: level and message.
        self.log: List[Tuple[str, str]] = []
        #: What ``should_stop`` answers.
        self.stop = False
        self._answers: List[Tuple[str, str, Callable[[Request], Any]]] = []
        self._open: Dict[str, "_Session"] = {}
        self._before: Dict[str, Any] = {}

    # What a test says.

    def answer(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        body: bytes = b"",
        status: int = 200,
        headers: Optional[Mapping[str, str]] = None,
        call: Optional[Callable[[Request], Any]] = None,
    ) -> None:
        """Answers requests of this method whose URL, without its query unless ``url`` has one, is this one. A later answer
        goes before an earlier one. ``call`` makes the answer from the request: whatever JSON, or an exception to raise."""
        if json is not None:
            body = jsonlib.dumps(json).encode()
        fixed: Answer = (status, body, [(name.lower(), value) for name, value in (headers or {}).items()])
        self._answers.insert(0, (method, url, call or (lambda request: fixed)))

    def export(self, integration: Type[Integration], config: Any) -> List[Dict[str, str]]:
        """Runs an export. Returns what it said of its parts; what it raises is raised."""
        run = Run()
        try:
            integration().export(run, config)
        finally:
            for session in list(self._open.values()):
                session.end(hold_back=True)
        return run.result.projects

    def validate_config(self, integration: Type[Integration], config: Any) -> ValidateResult:
        """Has a configuration tried."""
        return integration().validate_config(config)

    def onboard(self, integration: Type[Integration], kind: str, config: Any) -> List[Mapping[str, Any]]:
        """Asks for onboarding data."""
        return list(integration().onboard(kind, config))

    def mutate(self, integration: Type[Integration], name: str, data: Any, config: Any) -> MutateResult:
        """Has a mutation made."""
        return integration().mutate(name, data, config)

    def webhook(
        self, integration: Type[Integration], body: Any, config: Any, headers: Optional[Mapping[str, str]] = None
    ) -> MutateResult:
        """Gives a webhook: bytes, or what is to be written as JSON."""
        raw = body if isinstance(body, bytes) else jsonlib.dumps(body).encode()
        return integration().webhook(Webhook(list((headers or {}).items()), raw), config)

    # What the package calls.

    def __enter__(self) -> "Host":
        self._before = {name: getattr(_host, name) for name in _host.INTERFACES}
        root = SimpleNamespace(model=self._root_model, tracking=self._root_tracking)
        _host.session = SimpleNamespace(root_model=root.model, root_tracking=root.tracking, Session=_Session)
        _host.http = SimpleNamespace(
            Request=Request, Pending=_Pending, send=self._send, submit=self._submit, wait_any=_wait_any
        )
        _host.log = SimpleNamespace(log=lambda level, message, fields: self.log.append((level, message)))
        _host.state = SimpleNamespace(get=self.state.get, set=self._state_set, delete=self._state_delete)
        _host.git = SimpleNamespace(export_repo=lambda session, repo: session.repos.append(jsonlib.loads(repo)))
        _host.oauth = SimpleNamespace(refresh=lambda credential: None)
        _host.control = SimpleNamespace(
            pause=lambda until, why: None, resume=lambda: None, webhook_url=lambda: "https://agent.invalid/webhook"
        )
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        for name, interface in self._before.items():
            setattr(_host, name, interface)

    def _root_model(self, model: str) -> "_Session":
        return _Session(self, None, model, model)

    def _root_tracking(self, name: str) -> "_Session":
        return _Session(self, None, name, None)

    def _send(self, request: Request) -> Any:
        self.requests.append(request)
        for method, url, make in self._answers:
            if method == request.method and url in (request.url, request.url.partition("?")[0]):
                made = make(request)
                if isinstance(made, BaseException):
                    raise made
                if not isinstance(made, tuple):
                    made = (200, jsonlib.dumps(made).encode(), [])
                status, body, headers = made
                return SimpleNamespace(status=status, url=request.url, headers=headers, body=body)
        raise errors.HttpDenied(f"this test has no answer for {request.method} {request.url}; give one with host.answer(…)")

    def _submit(self, request: Request) -> "_Pending":
        return _Pending(lambda: self._send(request))

    def _state_set(self, key: str, value: str, expires_secs: Optional[int]) -> None:
        self.state[key] = value

    def _state_delete(self, key: str) -> None:
        self.state.pop(key, None)


class _Pending:
    def __init__(self, answer: Callable[[], Any]) -> None:
        self.answer = answer

    def take(self) -> Any:
        return self.answer()


def _wait_any(pendings: List[_Pending], timeout_ms: int) -> List[int]:
    return list(range(len(pendings)))


class _Session:
    """A session as the host keeps it."""

    def __init__(self, host: Host, parent: Optional["_Session"], path: str, of_model: Optional[str]) -> None:
        if path in host._open:
            raise errors.Conflict(f"a session is already open at `{path}`")
        self.host, self.parent, self.path, self.of_model = host, parent, path, of_model
        self.staged: List[Any] = []
        self.repos: List[Any] = []
        self.held_back = False
        host._open[path] = self

    def last_processed(self) -> Optional[str]:
        return self.host.cursors.get(self.path)

    def model(self, model: str, object_id: str, object_name: str) -> "_Session":
        return _Session(self.host, self, f"{self.path}/{object_id}/{model}", model)

    def tracking(self, name: str, object_id: str, object_name: str) -> "_Session":
        return _Session(self.host, self, f"{self.path}/{object_id}/{name}", None)

    def should_stop(self) -> bool:
        return self.host.stop

    def progress(self, current: int, total: Optional[int]) -> None:
        pass

    def send_text(self, ndjson: str) -> Any:
        if self.of_model is None:
            raise errors.Conflict(f"`{self.path}` is a tracking session and takes no records")
        records = [jsonlib.loads(line) for line in ndjson.split("\n")]
        self.staged += records
        return SimpleNamespace(accepted=len(records), unchanged=0)

    def checkpoint(self, cursor: Union[str, None]) -> None:
        if self.of_model is not None:
            self.host.records.setdefault(self.of_model, []).extend(self.staged)
        self.host.repos += self.repos
        self.staged, self.repos = [], []
        if cursor is not None and not self.held_back:
            self.host.cursors[self.path] = cursor

    def children(self) -> List["_Session"]:
        return [session for session in self.host._open.values() if session.parent is self]

    def done(self, cursor: Optional[str]) -> str:
        if self.children():
            self.end(hold_back=True)
            raise errors.Conflict(f"`{self.path}` has open children; end them first")
        self.checkpoint(cursor)
        del self.host._open[self.path]
        return jsonlib.dumps({"path": self.path, "cursor": self.host.cursors.get(self.path), "held_back": self.held_back})

    def rollback(self) -> None:
        self.end(hold_back=True)

    def skip(self, why: str) -> None:
        self.host.skipped[self.path] = why
        self.end(hold_back=False)

    def end(self, hold_back: bool) -> None:
        for child in self.children():
            child.end(hold_back)
        if self.host._open.pop(self.path, None) is None or not hold_back:
            return
        self.host.rolled_back.append(self.path)
        above = self.parent
        while above is not None:
            above.held_back = True
            above = above.parent
