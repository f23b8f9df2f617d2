"""The door to the host: the generated bindings inside of a component, and outside whatever stand-in a test puts here.

Other modules say ``_host.session.root_model(…)`` and never import the bindings themselves. Calls that can be refused go
through :func:`call`, which turns the contract's errors into this package's exceptions.
"""

from __future__ import annotations

from typing import Any, Callable, TypeVar

from . import errors

T = TypeVar("T")


class _Outside:
    """Stands where an interface of the host would be. Any use of it is a mistake of the test that runs natively."""

    def __init__(self, interface: str) -> None:
        self._interface = interface

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(
            f"host call {self._interface}.{name} outside of a component; in a test, use agent_sdk.testing.Host"
        )


class _NeverRaised(Exception):
    value: Any = None


INTERFACES = ("control", "git", "http", "log", "oauth", "session", "state")

control: Any
git: Any
http: Any
log: Any
oauth: Any
session: Any
state: Any
Err: Any

try:
    from componentize_py_types import Err  # type: ignore[import-not-found,no-redef]
    from wit_world.imports import control, git, http, log, oauth, session, state  # type: ignore[import-not-found,no-redef]

    INSIDE = True
except ImportError:
    INSIDE = False
    Err = _NeverRaised
    control, git, http, log, oauth, session, state = (_Outside(name) for name in INTERFACES)


def call(function: Callable[..., T], *arguments: Any) -> T:
    """Calls the host; a refusal becomes an exception of :mod:`agent_sdk.errors`."""
    try:
        return function(*arguments)
    except Err as error:
        refusal = error.value
    raise errors.from_host(refusal)


def text(value: str | int, what: str) -> str:
    """What goes to the host as text. Numbers are taken because sources give ids as numbers.

    Text with half of a surrogate pair cannot cross, and would end the instance with a trap; it is refused here.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise errors.Invalid(f"{what} is to be text, and is {type(value).__name__}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise errors.Invalid(f"{what} has half of a surrogate pair at character {error.start}: {value!a}") from None
    return value


def shown(value: Any) -> str:
    """Text for people, which must never fail: what cannot cross is shown escaped."""
    return str(value).encode("utf-8", "backslashreplace").decode()
