"""Named OAuth 2 credentials. Their values stay in the host."""

from __future__ import annotations

from . import _host


def refresh(credential: str) -> None:
    """Gets a new access token for the credential of this name, for requests that come after."""
    _host.call(_host.oauth.refresh, _host.text(credential, "the name of a credential"))
