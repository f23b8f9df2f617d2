"""{{title}}: exports the issues of a GitHub repository."""

import agent_sdk
from agent_sdk import Manifest, Model, NetworkRule, ValidateResult, errors, http, paging

ISSUES = Model(
    "{{name}}.Issue",
    {
        "type": "object",
        "required": ["ref_id", "title", "state"],
        "properties": {"ref_id": {"type": "string"}, "title": {"type": "string"}, "state": {"enum": ["open", "closed"]}},
    },
)


class App(agent_sdk.Integration):
    manifest = Manifest(
        "{{name}}",
        "0.1.0",
        description="Issues of a GitHub repository",
        config={
            "type": "object",
            "required": ["repo"],
            "additionalProperties": False,
            "properties": {
                "repo": {"type": "string", "pattern": "^[^/]+/[^/]+$", "description": "owner/name"},
                "url": {"type": "string", "description": "Another server than github.com"},
                "credential": {"type": "string", "description": "The credential to read with"},
            },
        },
        models=[ISSUES],
        network=[NetworkRule.https("api.github.com", methods=["GET"]), NetworkRule.config("/url", methods=["GET"])],
        credentials={"token": "Reads private repositories, and raises the rate limit"},
    )

    def validate_config(self, config):
        try:
            http.get(repo_url(config), auth=config.get("credential")).raise_for_status()
        except errors.StatusError as error:
            return ValidateResult.wrong(str(error))
        return ValidateResult()

    def export(self, run, config):
        """What was updated since the last run, page by page. The list is sorted by what does not change, so that nothing
        moves across its pages while they are read; therefore the cursor moves only at the end."""
        with run.model(ISSUES) as issues:
            since = issues.last_processed
            newest = since or ""
            params = {"state": "all", "sort": "created", "direction": "asc", "per_page": 100, "since": since}
            for page in paging.link(repo_url(config) + "/issues", params=params, auth=config.get("credential")):
                if issues.should_stop():
                    # What was read is kept; the cursor stays, and the next run leaves out what it has.
                    issues.done()
                    return
                for issue in page.items:
                    issues.send(record(issue))
                    newest = max(newest, issue["updated_at"])
            issues.done(newest or None)


def repo_url(config):
    return f"{config.get('url', 'https://api.github.com')}/repos/{config['repo']}"


def record(issue):
    """A record from what the server says. Do not put the time of the export into it, or it changes every time."""
    return {
        "ref_id": str(issue["id"]),
        "title": issue["title"],
        "state": issue["state"],
        "author": (issue.get("user") or {}).get("login"),
        "updated_at": issue["updated_at"],
    }


Integration = agent_sdk.component(App)
