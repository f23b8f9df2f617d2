"""Export sessions: nested, batched, and used with ``with``.

``with run.model(ISSUES) as issues:`` opens a session. It ends in one of three ways, each said in so many words:
``done`` commits, ``rollback`` forgets, ``skip`` leaves out for good. An exception that leaves the block rolls back. To
leave the block well without one of them is a mistake and raises :class:`~agent_sdk.Conflict`: committing by accident
would move cursors past what was not sent, and rolling back by accident would lose it silently.

Records gather in one buffer that goes to the host as text at half a mebibyte and before each commit.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from types import TracebackType
from typing import Any, Iterable, List, NamedTuple, Optional, Type, TypedDict, Union

from . import _host
from .errors import AgentError, Conflict, Invalid
from .integration import ExportResult
from .manifest import Model

#: Characters at which a batch is sent: in the middle of the 256 KiB to 1 MiB that suit the host best. At the worst, four
#: bytes each, it is still far from the host's 16 MiB.
BATCH_CHARS = 512 << 10


class Sent(NamedTuple):
    """What a session has sent, by the host's answers. What still waits in the buffer is not counted."""

    #: Records staged.
    accepted: int
    #: Records that the backend already has in this form, and that are not sent again.
    unchanged: int


class Summary(TypedDict, total=False):
    """What a session did, as the host counted it (``wit/schemas/session-summary.json``)."""

    path: str
    records: int
    bytes: int
    unchanged: int
    duration_ms: int
    cursor: Optional[str]
    held_back: bool


def _plain(value: Any) -> Any:
    """What JSON has no form for, in the form that records commonly use."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            raise ValueError(f"the time {value} has no time zone; give it one, for example datetime.timezone.utc")
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        raise TypeError("a set has no order, so that the record would change every time; use sorted(…)")
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


# The options under which the C encoder is used and writes least: no escapes for what is not ASCII, no spaces. NaN is no
# JSON; a record that contains itself ends as RecursionError without the check as well.
_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), check_circular=False, allow_nan=False, default=_plain
).encode


def to_json(value: Any, what: str) -> str:
    """Writes a value as the host reads it."""
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"{what} cannot be written as JSON: {error}") from None


class Session:
    """An open session. Made by :class:`Run` or by another session, and best used with ``with``."""

    def __init__(self, raw: Any, path: str) -> None:
        self._raw = raw
        self._path = path
        self._lines: List[str] = []
        self._chars = 0
        self._accepted = 0
        self._unchanged = 0

    # The tree.

    def model(self, model: Union[Model, str], object_id: Union[str, int], object_name: str = "") -> "Session":
        """Opens a model session below this one, for the object that this level is about. ``model`` must be in the
        manifest. Ids are 1 to 512 bytes; the name is for people and may be empty.

        Raises :class:`~agent_sdk.Invalid` for a bad name or a model that the manifest lacks,
        :class:`~agent_sdk.Conflict` if it is open already, :class:`~agent_sdk.Limit` for too many or too deep.
        """
        name = model.name if isinstance(model, Model) else model
        return self._child(self._open_raw().model, name, object_id, object_name)

    def tracking(self, name: str, object_id: Union[str, int], object_name: str = "") -> "Session":
        """Opens a session below this one that gives structure and progress only. Raises as :meth:`model`."""
        return self._child(self._open_raw().tracking, name, object_id, object_name)

    def _child(self, opening: Any, name: str, object_id: Union[str, int], object_name: str) -> "Session":
        name, object_id = _host.text(name, "the name of a session"), _host.text(object_id, "the id of an object")
        raw = _host.call(opening, name, object_id, _host.shown(object_name))
        return Session(raw, f"{self._path}/{object_id}/{name}")

    # Records.

    def send(self, record: Any) -> None:
        """Sends a record: a dict, or a dataclass. It waits in the buffer until there is half a mebibyte, for
        :meth:`flush`, or for a commit; so a fault that the host finds can come with a later record. It names its line.

        Times with a zone are written by RFC 3339, dates and enumerations by their value.

        Raises :class:`~agent_sdk.Invalid` if the record cannot be written as JSON; it is left out of the batch then.
        """
        line = to_json(record, f"a record of {self._path}")
        self._lines.append(line)
        self._chars += len(line) + 1
        if self._chars >= BATCH_CHARS:
            self.flush()

    def send_all(self, records: Iterable[Any]) -> None:
        """Sends each of many records."""
        for record in records:
            self.send(record)

    def flush(self) -> None:
        """Sends what waits in the buffer. :meth:`checkpoint` and :meth:`done` do it of their own accord.

        Raises :class:`~agent_sdk.Invalid` where a record is not acceptable, with its line in the batch;
        :class:`~agent_sdk.Limit` where it is too large; :class:`~agent_sdk.Unavailable` where the host cannot take it
        now. The batch stays in the buffer: the call can be repeated, and while it is refused the session cannot be done.
        """
        raw = self._open_raw()
        if not self._lines:
            return
        batch = "\n".join(self._lines)
        if not batch.isascii():
            self._judge(batch)
        ack = _host.call(raw.send_text, batch)
        self._accepted += ack.accepted
        self._unchanged += ack.unchanged
        self._lines.clear()
        self._chars = 0

    def _judge(self, batch: str) -> None:
        """Finds what cannot cross into the host, where it would end the instance instead of the call."""
        try:
            batch.encode()
        except UnicodeEncodeError as error:
            line = batch.count("\n", 0, error.start) + 1
            raise Invalid(
                f"record {line} of this batch of {self._path} has half of a surrogate pair: "
                f"{self._lines[line - 1][:200]!a}"
            ) from None

    @property
    def sent(self) -> Sent:
        """What this session has sent so far."""
        return Sent(self._accepted, self._unchanged)

    # The run.

    @property
    def last_processed(self) -> Optional[str]:
        """The cursor that was committed last at this session's path. None on the first run: export everything."""
        cursor: Optional[str] = self._open_raw().last_processed()
        return cursor

    def should_stop(self) -> bool:
        """True when the run has been asked to end: go to the next good place, commit and return."""
        return bool(self._open_raw().should_stop())

    def progress(self, current: int, total: Optional[int] = None) -> None:
        """Says how far this session is, in whatever unit the integration counts."""
        self._open_raw().progress(current, total)

    # Commits and ends.

    def checkpoint(self, cursor: Union[str, int]) -> None:
        """Commits what was sent so far, with this cursor (any text, at most 64 KiB), and goes on.

        Raises as :meth:`flush`, and :class:`~agent_sdk.Limit` for a cursor that is too long.
        """
        cursor = _host.text(cursor, "a cursor")
        self.flush()
        _host.call(self._open_raw().checkpoint, cursor)

    def done(self, cursor: Union[str, int, None] = None) -> Summary:
        """Commits and ends the session. Without a cursor the old one stays.

        Raises as :meth:`flush`, and then the session is still open; and :class:`~agent_sdk.Conflict` while children are
        open, and then it is rolled back.
        """
        if cursor is not None:
            cursor = _host.text(cursor, "a cursor")
        self.flush()
        raw = self._take_raw()
        summary: Summary = json.loads(_host.call(_host.session.Session.done, raw, cursor))
        return summary

    def rollback(self) -> None:
        """Forgets what was sent since the last checkpoint, and ends the session with its open children. The cursors above
        it are held back for the rest of the run: they must come past this place again."""
        _host.session.Session.rollback(self._take_raw())

    def skip(self, why: str) -> None:
        """Like :meth:`rollback`, but does not hold back the cursors above: this place may be left out for good. The
        reason (at most 1,024 bytes) is counted and shown."""
        _host.session.Session.skip(self._take_raw(), _host.shown(why))

    @property
    def ended(self) -> bool:
        """Whether it has been done, rolled back or skipped."""
        return self._raw is None

    def _open_raw(self) -> Any:
        if self._raw is None:
            raise Conflict(f"the session {self._path} has ended already")
        return self._raw

    def _take_raw(self) -> Any:
        raw = self._open_raw()
        self._raw = None
        self._lines.clear()
        return raw

    def __enter__(self) -> "Session":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self.ended:
            return
        self.rollback()
        if kind is None:
            raise Conflict(
                f"the block of the session {self._path} was left without an end, so that the session was rolled back; "
                f"call done(cursor) as its last line, or rollback(), or skip(why)"
            )

    def __repr__(self) -> str:
        return f"<Session {self._path}{' (ended)' if self.ended else ''}>"


class Run:
    """One export: opens the sessions at the top of the tree, and gathers what became of the source's parts."""

    def __init__(self) -> None:
        self.result = ExportResult()

    def model(self, model: Union[Model, str]) -> Session:
        """Opens a model session at the top of the tree.

        Raises :class:`~agent_sdk.Invalid` if the manifest does not have the model, :class:`~agent_sdk.Conflict` if it is
        open already.
        """
        name = _host.text(model.name if isinstance(model, Model) else model, "the name of a model")
        return Session(_host.call(_host.session.root_model, name), name)

    def tracking(self, name: str) -> Session:
        """Opens a session at the top of the tree that gives structure and progress only."""
        name = _host.text(name, "the name of a session")
        return Session(_host.call(_host.session.root_tracking, name), name)

    def exported(self, ref_id: Union[str, int], name: str = "") -> None:
        """Notes a part of the source (a project, a repository) that went well."""
        self.result.add(_host.text(ref_id, "ref_id"), name, None)

    def failed(self, ref_id: Union[str, int], name: str, error: Union[BaseException, str]) -> None:
        """Notes a part of the source that failed while the others went on: the run counts as partial."""
        if isinstance(error, BaseException) and not isinstance(error, AgentError):
            error = f"{type(error).__name__}: {error}"
        self.result.add(_host.text(ref_id, "ref_id"), name, str(error) or "failed")
