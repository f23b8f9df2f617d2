"""From the contract's exports to the author's class: reads what comes in, writes what goes out, translates errors, and sees
to it that a traceback is in the log."""

from __future__ import annotations

import importlib
import json
import linecache
import logging
import os
import sys
import traceback
from typing import Any, Callable, List, Tuple, Type

from . import _host, log
from .errors import AgentError, Invalid
from .integration import Integration, Webhook
from .session import Run, to_json

#: Where this package and Python's own library are: the reason of an error names a place outside of both.
_OURS = (os.path.dirname(__file__) + os.sep, os.path.dirname(traceback.__file__) + os.sep)

#: What the standard library imports when it is first used, and what could not be found then: there are no files.
_LATE = ["_strptime", "stringprep"] + [
    "encodings." + name
    for name in ("ascii", "latin_1", "iso8859_15", "cp1252", "utf_8_sig", "utf_16", "utf_16_le", "utf_16_be", "idna", "punycode")
]

#: The contract's cases that each kind of call knows; anything else is ``Other``.
_CASES = {
    "Error": ("Denied", "Invalid", "Limit", "Conflict", "Unavailable"),
    "OnboardError": ("NotSupported",),
    "MutateError": ("NotSupported", "NotFound", "Invalid"),
}


def component(integration: Type[Integration]) -> Type[Any]:
    """What a component exports for this class. The builder looks for it under the name ``Integration``, so an
    integration's file ends with::

        Integration = agent_sdk.component(Tickets)

    Also has :mod:`logging` (from level INFO) and ``print`` write to the integration's log.
    """
    if not (isinstance(integration, type) and issubclass(integration, Integration)):
        raise TypeError(f"component() takes a subclass of agent_sdk.Integration, not {integration!r}")
    if not hasattr(integration, "manifest"):
        raise TypeError(f"{integration.__name__} has no manifest; set manifest = agent_sdk.Manifest(…) in it")
    # Told when the component is built, and not on the first run.
    manifest = to_json(integration.manifest.document(), "the manifest")
    if _host.INSIDE:
        logging.basicConfig(handlers=[log.Handler()], level=logging.INFO)
        for late in _LATE:
            importlib.import_module(late)
        _keep_sources()

    class World:
        """The six calls of ``agent:integration/integration``."""

        def describe(self) -> str:
            return manifest

        def validate_config(self, config: str) -> str:
            return _guarded("Error", lambda: integration().validate_config(_read(config)).document())

        def onboard_export(self, kind: str, config: str) -> str:
            return _guarded("OnboardError", lambda: list(integration().onboard(kind, _read(config))))

        def export(self, config: str) -> str:
            return _guarded("Error", lambda: _export(integration(), _read(config)))

        def mutate(self, name: str, data: str, config: str) -> str:
            return _guarded(
                "MutateError", lambda: integration().mutate(name, _read(data), _read(config)).document()
            )

        def webhook(self, headers: List[Tuple[str, str]], body: bytes, config: str) -> str:
            return _guarded(
                "Error", lambda: integration().webhook(Webhook(headers, body), _read(config)).document()
            )

    return World


def _export(integration: Integration, config: Any) -> Any:
    run = Run()
    integration.export(run, config)
    return run.result.document()


def _read(document: str) -> Any:
    try:
        return json.loads(document)
    except ValueError as error:
        raise Invalid(f"what came is not JSON: {error}") from None


def _guarded(kind: str, work: Callable[[], Any]) -> str:
    """Does the work and writes its result. Errors leave as the contract's."""
    if _host.INSIDE:
        # A line is in the log when it is written. Once is enough, but at build time there is no such stream yet.
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        return _host.text(to_json(work(), "the result"), "the result")
    except MemoryError:
        # The host knows which limit was met if the instance ends here.
        raise
    except AgentError as error:
        log.debug("the call ended with an error that follows")
        _tell(log.debug, error)
        raise _refusal(kind, error.case, error.message, str(error)) from None
    except (Exception, SystemExit) as error:
        _tell(log.error, error)
        said = f"{type(error).__name__}: {error}{_place(error)}"
        raise _refusal(kind, "Other", said, said) from None
    finally:
        # What is buffered would be lost with the instance: print(…, end="") for example.
        sys.stdout.flush()
        sys.stderr.flush()


def _refusal(kind: str, case: str, message: str, full: str) -> Exception:
    """The contract's error of this kind. A case that the kind does not have is told in the text."""
    if not _host.INSIDE:
        return AgentError(full)
    if kind == "Error":
        from wit_world.imports import types as cases  # type: ignore[import-not-found]
    else:
        from wit_world.exports import integration as cases  # type: ignore[import-not-found]
    if case not in _CASES[kind]:
        case, message = "Other", full
    make = getattr(cases, f"{kind}_{case}")
    refusal: Exception = _host.Err(make() if case == "NotSupported" else make(_host.shown(message)))
    return refusal


def _keep_sources() -> None:
    """Takes the author's sources into the snapshot, so that a traceback can quote them: there are no files later."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and file.endswith(".py") and not file.startswith(_OURS):
            lines = linecache.getlines(file)
            # Without a time it is never looked for again.
            linecache.cache[file] = (sum(map(len, lines)), None, lines, file)


def _tell(write: Callable[[str], None], error: BaseException) -> None:
    """The traceback from the author's code on, a line each, as it would stand on a terminal."""
    trace = error.__traceback__
    while trace and trace.tb_next and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    for block in traceback.format_exception(type(error), error, trace):
        for line in block.rstrip("\n").split("\n"):
            write(line)


def _place(error: BaseException) -> str:
    """Where in the author's code it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not frame.filename.startswith(_OURS)]
    frame = (theirs or frames)[-1] if frames else None
    return f" ({os.path.basename(frame.filename)}, line {frame.lineno}, in {frame.name})" if frame else ""
