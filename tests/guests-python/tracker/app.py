"""An integration of the tracker that tests/languages.rs serves: projects, their issues page by page with a cursor each,
labels several at a time, and every other call. tests/guests-js/tracker is the same in JavaScript; one test judges both."""

import logging

import agent_sdk
from agent_sdk import Manifest, Model, MutateResult, NetworkRule, NotSupported, Unauthenticated, ValidateResult, http, paging
from faults import FAULTS

PROJECTS = Model("tracker.Project")
ISSUES = Model("tracker.Issue", {"type": "object", "required": ["ref_id", "title", "updated_at"]})


class Tracker(agent_sdk.Integration):
    manifest = Manifest(
        "tracker",
        "1.2.3",
        description="Issues of a tracker",
        config={
            "type": "object",
            "required": ["url"],
            "properties": {"url": {"type": "string"}, "fault": {"enum": list(FAULTS)}, "records": {"type": "integer"}},
        },
        models=[PROJECTS, ISSUES],
        onboard=["projects", "users"],
        mutations=["issue.rename", "issue.close"],
        webhook_events=["issue", "ping"],
        webhook_event_header="X-Event",
        network=[NetworkRule.config("/url", methods=["GET", "PATCH"])],
        credentials={"token": "Reads and changes issues"},
    )

    def validate_config(self, config):
        try:
            answer = http.get(config["url"] + "/version", auth="token").raise_for_status()
        except Unauthenticated as error:
            return ValidateResult.wrong(str(error))
        return ValidateResult(server_version=answer.json()["version"])

    def onboard(self, kind, config):
        if kind != "projects":
            raise NotSupported(f"onboarding data `{kind}`")
        for project in projects(config):
            yield {"ref_id": str(project["id"]), "name": project["name"]}

    def export(self, run, config):
        if "records" in config:
            return flood(run, config["records"])
        if "fault" in config:
            return FAULTS[config["fault"]](run, config)
        with run.tracking("tracker") as top:
            found = projects(config)
            with top.model(PROJECTS, "all") as session:
                session.send_all({"ref_id": str(project["id"]), "name": project["name"]} for project in found)
                session.done()
            for at, project in enumerate(found):
                top.progress(at, len(found))
                with top.model(ISSUES, project["id"], project["name"]) as session:
                    export_issues(session, project, config)
                run.exported(project["id"], project["name"])
            top.done()

    def mutate(self, name, data, config):
        if name != "issue.rename":
            raise NotSupported(f"mutation `{name}`")
        answer = http.patch(f"{config['url']}/issues/{data['id']}", json={"title": data["title"]}, auth="token")
        issue = answer.raise_for_status().json()
        return MutateResult({"renamed": issue["id"]}).mutated(ISSUES, record(issue, []))

    def webhook(self, webhook, config):
        if webhook.header("x-event") != "issue":
            return MutateResult()
        return MutateResult().mutated(ISSUES, record(webhook.json()["issue"], []))


def projects(config):
    """The server names the next page in a header field."""
    return [project for page in paging.link(config["url"] + "/projects", auth="token") for project in page.items]


def export_issues(session, project, config):
    """Oldest change first; each page is committed with the time of its last issue, and the next one begins after that: so an
    issue that changes meanwhile comes again at the end, and shifts no other out of sight."""
    url = f"{config['url']}/projects/{project['id']}/issues"
    changed = lambda issue: issue["updated_at"]  # noqa: E731
    for page in paging.keyset(url, "after", changed, resume=session.last_processed, auth="token"):
        issues = page.items
        labels = http.get_all((f"{config['url']}/issues/{issue['id']}/labels" for issue in issues), auth="token")
        for issue, answer in zip(issues, labels):
            session.send(record(issue, answer.raise_for_status().json()))
        if page.next:
            session.checkpoint(page.next)
        logging.getLogger("tracker").info("page of %s with %d issues", project["name"], len(issues))
        if session.should_stop():
            break
    session.done()


def record(issue, labels):
    return {"ref_id": str(issue["id"]), "title": issue["title"], "updated_at": issue["updated_at"], "labels": labels}


def flood(run, count):
    """For the benchmark: as many records as fast as it goes, like those of the mock integration."""
    with run.model(ISSUES) as session:
        send, body = session.send, "some text of an issue's body, " * 4
        for i in range(count):
            send(
                {
                    "ref_id": str(i),
                    "title": f"Issue {i}",
                    "updated_at": "2026-11-21T09:30:00Z",
                    "body": body,
                    "state": "open" if i % 3 else "closed",
                    "number": i,
                    "labels": ["bug", "ui"],
                }
            )
        session.done()


Integration = agent_sdk.component(Tracker)
