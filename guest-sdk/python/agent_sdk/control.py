"""What the operator should know about the run."""

from __future__ import annotations

import datetime
from typing import Optional, Union

from . import _host


def pause(until: Union[str, datetime.datetime], why: str) -> None:
    """Says that the integration waits until then (RFC 3339, or a time with a zone), and why (at most 1,024 bytes). Shown to
    the operator; it neither waits nor stops the clock of the run."""
    if isinstance(until, datetime.datetime):
        until = until.isoformat()
    _host.call(_host.control.pause, _host.text(until, "the time"), _host.shown(why))


def resume() -> None:
    """Says that the integration goes on."""
    _host.control.resume()


def webhook_url() -> Optional[str]:
    """The URL at which this integration receives webhooks; none where the agent receives none."""
    url: Optional[str] = _host.control.webhook_url()
    return url
