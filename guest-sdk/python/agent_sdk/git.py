"""Git repositories, processed natively by the host."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Optional

from . import _host
from .session import Session, to_json


@dataclasses.dataclass
class PullRequest:
    """A pull request of a :class:`Repo`."""

    #: The backend's id.
    id: str
    #: The source's own id.
    ref_id: str
    #: Where a person sees it.
    url: str
    #: The branch that it wants to merge.
    branch_name: str
    #: The newest commit of that branch, in hexadecimal.
    last_commit_sha: str


@dataclasses.dataclass
class Repo:
    """A repository to export (``wit/schemas/git-repo.json``)."""

    #: The source's own id of the repository. Records refer to it.
    ref_id: str
    #: A name for people.
    name: str
    #: An ``http`` or ``https`` URL, an absolute path of the agent's machine, or a ``file://`` URL.
    url: str
    #: The kind of the source; the manifest's if not given.
    ref_type: Optional[str] = None
    #: The name of the credential to fetch with.
    credential: Optional[str] = None
    #: The URL of a commit, with ``{sha}`` in it.
    commit_url_template: Optional[str] = None
    #: The URL of a branch, with ``{branch}`` in it.
    branch_url_template: Optional[str] = None
    #: Whether the owners of files' lines are exported; they are if not given.
    blame: Optional[bool] = None
    #: Whether languages are told and lines are counted, with the owners; they are if not given.
    count: Optional[bool] = None
    #: How ids of records are made: ``hashed``, if not given, or ``legacy``.
    ids: Optional[str] = None
    #: Pull requests whose commits are to be found out.
    pull_requests: List[PullRequest] = dataclasses.field(default_factory=list)

    def document(self) -> Dict[str, Any]:
        """As the host reads it."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value not in (None, [])}


def export_repo(session: Session, repo: Repo) -> None:
    """Queues a repository. The job commits with ``session`` and is worked off after the export returns; it survives a
    crash and is tried again by later runs up to a ceiling. Its records appear in sessions below ``session``.

    Raises :class:`~agent_sdk.Denied` where git, the URL's host or the path is not granted, and
    :class:`~agent_sdk.Invalid` for a bad document.
    """
    document = _host.text(to_json(repo.document(), f"the repository {repo.name}"), f"the repository {repo.name}")
    _host.call(_host.git.export_repo, session._open_raw(), document)
