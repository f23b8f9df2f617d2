"""Lines for the log of this integration, directly or through :mod:`logging`.

A message is cut at 4,096 bytes by the host; at most 32 fields go with it, their names cut at 64 bytes and their values at
1,024. What is printed to standard output and error goes to the log as well.
"""

from __future__ import annotations

import logging
from typing import Any

from . import _host

#: A level of the contract from each level of :mod:`logging`.
_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info"), (logging.DEBUG, "debug"))


def error(message: Any, **fields: Any) -> None:
    """Something failed and a person should look at it."""
    _write("error", message, fields)


def warn(message: Any, **fields: Any) -> None:
    """Something is odd and the integration goes on."""
    _write("warn", message, fields)


def info(message: Any, **fields: Any) -> None:
    """What an operator wants to see of a normal run."""
    _write("info", message, fields)


def debug(message: Any, **fields: Any) -> None:
    """What the integration's author wants to see."""
    _write("debug", message, fields)


def trace(message: Any, **fields: Any) -> None:
    """Everything else."""
    _write("trace", message, fields)


def _write(level: str, message: Any, fields: dict[str, Any]) -> None:
    _host.log.log(level, _host.shown(message), [(name, _host.shown(value)) for name, value in fields.items()])


class Handler(logging.Handler):
    """Has :mod:`logging` write to the integration's log. :func:`agent_sdk.component` puts one at the root logger."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for least, name in _LEVELS if record.levelno >= least), "trace")
        try:
            message, _, traceback = self.format(record).partition("\n")
            _write(level, message, {"logger": record.name})
            # A line each, as it would stand on a terminal.
            for line in traceback.splitlines():
                _write(level, line, {})
        except Exception:  # noqa: BLE001 - a log must not end what it tells of
            self.handleError(record)
