"""Write an integration for the agent in Python.

Subclass :class:`Integration`, name the class in :func:`component`, and build with ``python -m agent_sdk build FILE``:
the result is a WebAssembly component that the agent loads. What is asked of the host (sessions, HTTP, lists in pages, git, state, logs)
has a module here each; all of it is synchronous. ``README.md`` has a complete integration.

This package gives the contract (``wit/package.wit``) Python's types and manners. Checks and limits are the host's; they
are repeated here only where a mistake can be named better or earlier.
"""

from . import control, errors, git, http, log, oauth, paging, state
from .entry import component
from .errors import AgentError, Conflict, Denied, Invalid, Limit, NotFound, NotSupported, Unauthenticated, Unavailable
from .integration import Integration, MutateResult, ValidateResult, Webhook
from .manifest import Manifest, Model, NetworkRule, SecretSetting
from .session import Run, Sent, Session, Summary

__version__ = "0.1.0"

__all__ = [
    "AgentError",
    "Conflict",
    "Denied",
    "Integration",
    "Invalid",
    "Limit",
    "Manifest",
    "Model",
    "MutateResult",
    "NetworkRule",
    "NotFound",
    "NotSupported",
    "Run",
    "SecretSetting",
    "Sent",
    "Session",
    "Summary",
    "Unauthenticated",
    "Unavailable",
    "ValidateResult",
    "Webhook",
    "component",
    "control",
    "errors",
    "git",
    "http",
    "log",
    "oauth",
    "paging",
    "state",
]
