"""A small store for this integration: at most 1,024 keys of 1 to 256 bytes, values of at most 64 KiB, 1 MiB in all.

Changes are seen at once by this run, and become durable with the next ``done`` or ``checkpoint`` of any session.
"""

from __future__ import annotations

import json
from typing import Any, Optional

from . import _host
from .session import to_json


def get(key: str) -> Optional[str]:
    """The value, if there is one and it has not expired."""
    value: Optional[str] = _host.call(_host.state.get, _host.text(key, "a key"))
    return value


def get_json(key: str, default: Any = None) -> Any:
    """The value, read as JSON; ``default`` if there is none."""
    value = get(key)
    return default if value is None else json.loads(value)


def set(key: str, value: str, expires_secs: Optional[int] = None) -> None:  # noqa: A001
    """Sets a value, which expires after so many seconds if given (1 to 31,536,000)."""
    _host.call(_host.state.set, _host.text(key, "a key"), _host.text(value, f"the value of {key}"), expires_secs)


def set_json(key: str, value: Any, expires_secs: Optional[int] = None) -> None:
    """Sets a value to JSON."""
    set(key, to_json(value, f"the value of {key}"), expires_secs)


def delete(key: str) -> None:
    """Deletes a value. No error if there is none."""
    _host.call(_host.state.delete, _host.text(key, "a key"))
