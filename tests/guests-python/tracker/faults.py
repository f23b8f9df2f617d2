"""What may go wrong in an integration, each under a name that tests/languages.rs gives in the configuration."""

import datetime
import random
import sys
import time

from agent_sdk import Denied, http, paging


def two_pages(run, config):
    """The first page is committed; the second breaks."""
    with run.model("tracker.Issue") as session:
        session.send({"ref_id": "kept"})
        session.checkpoint("1")
        session.send({"ref_id": "forgotten"})
        rename(None)


def rename(issue):
    return issue["title"].upper()


def leaves_a_session(run, config):
    with run.model("tracker.Issue") as session:
        session.send({"ref_id": "1"})


def half_a_surrogate(run, config):
    with run.model("tracker.Issue") as session:
        session.send({"ref_id": "1"})
        session.send({"ref_id": "2", "title": "\ud800"})
        session.done()


def no_key(run, config):
    with run.model("tracker.Issue") as session:
        session.send({"ref_id": "1"})
        session.send({"title": "without a key"})
        session.done()


def not_json(run, config):
    with run.model("tracker.Issue") as session:
        session.send({"ref_id": "1", "at": object()})


def undeclared_model(run, config):
    run.model("tracker.Undeclared")


def denied(run, config):
    try:
        http.get("https://denied.invalid/")
    except Denied:
        print("this is seen as what it is")
        raise


def unauthorized(run, config):
    http.get(config["url"] + "/projects").raise_for_status()


def missing(run, config):
    http.get(config["url"] + "/missing", auth="token").raise_for_status()


def another_server(run, config):
    list(paging.link(config["url"] + "/away", auth="token"))


def memory(run, config):
    held = []
    while True:
        held.append(bytearray(1 << 20))


def recursion(run, config):
    recursion(run, config)


def loop(run, config):
    while True:
        pass


def leaves(run, config):
    sys.exit(3)


def clocks(run, config):
    """Whatever differs from run to run, what the library imports late, and what is printed without a line's end."""
    assert "ä€".encode("cp1252").decode("cp1252") == "ä€"
    assert datetime.datetime.strptime("2026-11-21", "%Y-%m-%d").day == 21
    with run.model("tracker.Issue") as session:
        session.send({"ref_id": f"{random.random()}", "title": "drawn", "updated_at": "2026-11-21T09:30:00Z"})
        session.done(str(int(time.time())))
    print("half a line", end="")


FAULTS = {
    "two-pages": two_pages,
    "leaves-a-session": leaves_a_session,
    "half-a-surrogate": half_a_surrogate,
    "no-key": no_key,
    "not-json": not_json,
    "undeclared-model": undeclared_model,
    "denied": denied,
    "unauthorized": unauthorized,
    "missing": missing,
    "another-server": another_server,
    "memory": memory,
    "recursion": recursion,
    "loop": loop,
    "leaves": leaves,
    "clocks": clocks,
}
