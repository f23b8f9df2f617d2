"""The manifest: what an integration is, has and asks for (``wit/schemas/manifest.json``). The host checks it; here is only
its form."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

#: The version of the manifest's form that this package writes.
SCHEMA = 1


@dataclasses.dataclass(frozen=True)
class Model:
    """A kind of record that an integration exports."""

    #: For example ``github.Issue``: 1 to 128 of ``A-Z a-z 0-9 _ . -``.
    name: str
    #: The JSON Schema (draft 2020-12) of a record.
    schema: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"type": "object"})
    #: JSON Pointers to the fields that together identify a record.
    key: Sequence[str] = ("/ref_id",)
    #: Whether the host leaves out records that the backend already has in the same form.
    dedup: bool = True

    def document(self) -> Dict[str, Any]:
        """As the host reads it."""
        return {"name": self.name, "key": list(self.key), "dedup": self.dedup, "schema": self.schema}


@dataclasses.dataclass(frozen=True)
class NetworkRule:
    """What a manifest asks to reach. What it may reach is asked ∩ granted.

    Made with :meth:`https`, :meth:`http` or :meth:`config`. ``methods`` are in capitals (none: all); ``path`` is what
    paths must begin with, on a segment boundary.
    """

    host: str
    scheme: Optional[str] = None
    port: Optional[int] = None
    methods: Sequence[str] = ()
    path: str = "/"

    @classmethod
    def https(cls, host: str, port: int = 443, methods: Sequence[str] = (), path: str = "/") -> "NetworkRule":
        """``https`` on this host. ``*.example.com`` stands for every name below it."""
        return cls(host, "https", port, methods, path)

    @classmethod
    def http(cls, host: str, port: int = 80, methods: Sequence[str] = (), path: str = "/") -> "NetworkRule":
        """``http`` on this host."""
        return cls(host, "http", port, methods, path)

    @classmethod
    def config(cls, pointer: str, methods: Sequence[str] = (), path: str = "/") -> "NetworkRule":
        """Wherever the URL in a field of the configuration points: its scheme, host and port. ``pointer`` is a JSON
        Pointer in which ``*`` stands for each element of an array: ``/url``, ``/repos/*/url``."""
        return cls("{config:" + pointer + "}", None, None, methods, path)

    def document(self) -> Dict[str, Any]:
        """As the host reads it."""
        document: Dict[str, Any] = {"host": self.host, "methods": list(self.methods), "path": self.path}
        if self.scheme is not None:
            document["scheme"] = self.scheme
        if self.port is not None:
            document["port"] = self.port
        return document


@dataclasses.dataclass(frozen=True)
class SecretSetting:
    """A credential that a setting of the configuration holds. The schema of the configuration marks the setting ``writeOnly``;
    in the configuration that the integration sees, a placeholder stands there."""

    #: A JSON Pointer to the setting, for example ``/token``.
    setting: str
    #: What it is for.
    description: str = ""
    #: How the host puts it into a request: ``{"bearer": True}``, ``{"basic": {"username": …}}``,
    #: ``{"header": {"name": …, "prefix": …}}``, ``{"query": {"name": …}}``, or ``{"body": {"paths": ["/repos/*/*/hooks"]}}`` for
    #: what a server is to keep, which requests name with ``options={"fill": NAME}``; it goes to no other paths.
    place: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"bearer": True})

    def document(self) -> Dict[str, Any]:
        """As the host reads it."""
        return {"description": self.description, "setting": self.setting, "place": self.place}


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The manifest. It takes any configuration and asks for nothing unless told."""

    #: ``a-z 0-9 -``, at most 64.
    name: str
    #: By semantic versioning.
    version: str
    #: A sentence for people.
    description: str = ""
    #: The kind of the source, by which records say where they come from; the name unless given.
    ref_type: Optional[str] = None
    #: The JSON Schema (draft 2020-12) of the configuration. ``writeOnly`` marks a secret.
    config: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"type": "object"})
    #: What it exports.
    models: Sequence[Model] = ()
    #: The kinds of data that :meth:`~agent_sdk.Integration.onboard` has.
    onboard: Sequence[str] = ()
    #: The names that :meth:`~agent_sdk.Integration.mutate` knows.
    mutations: Sequence[str] = ()
    #: The events that :meth:`~agent_sdk.Integration.webhook` takes.
    webhook_events: Sequence[str] = ()
    #: The header field in which the source says which event a webhook is, for example ``x-github-event``: the host then
    #: refuses those that are not among ``webhook_events``.
    webhook_event_header: Optional[str] = None
    #: How the source signs its webhooks, which the host then checks: ``setting``, a JSON Pointer to the secret (marked
    #: ``writeOnly``), and one of ``hmac_sha256`` (``{"header": …, "prefix": …}``), ``token`` (``{"header": …}``) and
    #: ``standard_webhooks`` (``{}``).
    webhook_signature: Optional[Mapping[str, Any]] = None
    #: What it asks to reach.
    network: Sequence[NetworkRule] = ()
    #: The credentials that it uses by name, and what each is for; a :class:`SecretSetting` where a setting holds it.
    credentials: Mapping[str, Union[str, SecretSetting]] = dataclasses.field(default_factory=dict)
    #: Whether it has git repositories exported.
    git: bool = False

    def document(self) -> Dict[str, Any]:
        """As the host reads it."""
        credentials: List[Dict[str, Any]] = [
            {"name": name, **(asked.document() if isinstance(asked, SecretSetting) else {"description": asked})}
            for name, asked in self.credentials.items()
        ]
        document: Dict[str, Any] = {
            "schema": SCHEMA,
            "name": self.name,
            "version": self.version,
            "ref_type": self.ref_type or self.name,
            "description": self.description,
            "config": self.config,
            "models": [model.document() for model in self.models],
            "onboard": list(self.onboard),
            "mutations": list(self.mutations),
            "webhook_events": list(self.webhook_events),
            "asks": {
                "network": [rule.document() for rule in self.network],
                "credentials": credentials,
                "git": self.git,
            },
        }
        if self.webhook_event_header is not None:
            document["webhook_event_header"] = self.webhook_event_header.lower()
        if self.webhook_signature is not None:
            document["webhook_signature"] = self.webhook_signature
        return document
