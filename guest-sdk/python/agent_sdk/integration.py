"""What an author writes: the class, and the documents that its methods take and return.

The documents' forms are published as JSON Schemas beside the contract (``wit/schemas``).
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from .errors import Invalid, NotSupported
from .manifest import Manifest, Model

if TYPE_CHECKING:
    from .session import Run

#: A configuration, as it stands in agent.yaml. The host has checked it against the schema in the manifest.
Config = Dict[str, Any]


class Integration:
    """An integration. Each call runs in a new instance of the component and of this class: nothing in memory outlives it.

    Only :attr:`manifest` must be given; what is left out answers that it is not supported.
    """

    #: What this integration is, has and asks for.
    manifest: Manifest

    def validate_config(self, config: Config) -> "ValidateResult":
        """Tries the configuration against the real system. Accepts everything unless written.

        Raise only where it could not be tried at all; a configuration that is wrong is ``ValidateResult.wrong(…)``.
        """
        return ValidateResult()

    def onboard(self, kind: str, config: Config) -> Iterable[Mapping[str, Any]]:
        """Data for a person to choose from: ``users``, ``repos``, ``projects``, …; one dict each. May be a generator."""
        raise NotSupported(f"onboarding data `{kind}`")

    def export(self, run: "Run", config: Config) -> None:
        """Exports records through sessions of ``run``. What was committed stays, however this ends."""
        raise NotSupported("this integration exports nothing")

    def mutate(self, name: str, data: Any, config: Config) -> "MutateResult":
        """Changes one thing in the real system. Raises :class:`~agent_sdk.NotSupported` for an unknown name,
        :class:`~agent_sdk.NotFound` where the thing does not exist, :class:`~agent_sdk.Invalid` for unfit data."""
        raise NotSupported(f"mutation `{name}`")

    def webhook(self, webhook: "Webhook", config: Config) -> "MutateResult":
        """Takes a webhook whose signature the host has checked."""
        raise NotSupported("this integration takes no webhooks")


@dataclasses.dataclass
class ValidateResult:
    """What trying a configuration found (``validate-result.json``). Without errors it is well."""

    #: What is wrong, for a person; one fault each.
    errors: List[str] = dataclasses.field(default_factory=list)
    #: The version of the system that answered.
    server_version: Optional[str] = None
    #: The URL below which repositories are.
    repo_url: Optional[str] = None

    @classmethod
    def wrong(cls, *errors: str) -> "ValidateResult":
        """These faults."""
        return cls(errors=list(errors))

    def document(self) -> Dict[str, Any]:
        """As the host reads it."""
        document: Dict[str, Any] = {"ok": not self.errors, "errors": self.errors}
        more = {"server_version": self.server_version, "repo_url": self.repo_url}
        document.update((name, value) for name, value in more.items() if value is not None)
        return document


class ExportResult:
    """What an export says at its end (``export-result.json``), gathered by :class:`~agent_sdk.Run`."""

    def __init__(self) -> None:
        self.projects: List[Dict[str, str]] = []

    def add(self, ref_id: str, name: str, error: Optional[str]) -> None:
        """Notes one part of the source."""
        project = {"ref_id": ref_id}
        project.update((key, value) for key, value in (("name", name), ("error", error)) if value)
        self.projects.append(project)

    def document(self) -> Dict[str, Any]:
        """As the host reads it."""
        return {"projects": self.projects} if self.projects else {}


class MutateResult:
    """What a mutation or a webhook changed (``mutate-result.json``)."""

    def __init__(self, response: Any = None) -> None:
        #: What the caller gets back, in the mutation's own form.
        self.response = response
        self._mutated: Dict[str, List[Any]] = {}

    def mutated(self, model: Union[Model, str], record: Any) -> "MutateResult":
        """Adds a record that changed, in the form in which an export sends it."""
        self._mutated.setdefault(model.name if isinstance(model, Model) else model, []).append(record)
        return self

    def document(self) -> Dict[str, Any]:
        """As the host reads it."""
        document: Dict[str, Any] = {}
        if self._mutated:
            document["mutated"] = self._mutated
        if self.response is not None:
            document["response"] = self.response
        return document


@dataclasses.dataclass(frozen=True)
class Webhook:
    """A webhook, its signature checked."""

    #: Header fields, in order.
    headers: List[Tuple[str, str]]
    #: The body as it came.
    body: bytes

    def header(self, name: str) -> Optional[str]:
        """The first header field of this name; capitals do not matter."""
        return header_find(self.headers, name)

    def json(self) -> Any:
        """The body, read as JSON. Raises :class:`~agent_sdk.Invalid`."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Invalid(f"the webhook's body is not JSON: {error}") from None


def header_find(headers: Iterable[Tuple[str, str]], name: str) -> Optional[str]:
    """The first header field of this name; capitals do not matter."""
    name = name.lower()
    return next((value for header, value in headers if header.lower() == name), None)
