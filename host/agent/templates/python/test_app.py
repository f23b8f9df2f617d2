"""Tests of {{title}}, natively: `.venv/bin/python -m unittest`."""

import unittest

from agent_sdk import Unauthenticated, testing
from app import App

LIST = "https://api.github.com/repos/some/repo/issues"


def issue(number, at):
    return {"id": number, "title": f"Issue {number}", "state": "open", "user": None, "updated_at": at}


class Export(unittest.TestCase):
    def test_page_by_page_and_then_only_what_is_new(self):
        with testing.Host() as host:
            host.answer(
                "GET", LIST, json=[issue(1, "2026-01-02T00:00:00Z")], headers={"link": f'<{LIST}?page=2>; rel="next"'}
            )
            host.answer("GET", LIST + "?page=2", json=[issue(2, "2026-01-01T00:00:00Z")])
            host.export(App, {"repo": "some/repo"})
            self.assertEqual([record["ref_id"] for record in host.records["{{name}}.Issue"]], ["1", "2"])
            self.assertEqual(host.cursors, {"{{name}}.Issue": "2026-01-02T00:00:00Z"})

            host.answer("GET", LIST, json=[])
            host.export(App, {"repo": "some/repo"})
            self.assertIn("since=2026-01-02T00%3A00%3A00Z", host.requests[-1].url)

    def test_a_failure_commits_nothing(self):
        with testing.Host() as host:
            host.answer("GET", LIST, status=503)
            with self.assertRaisesRegex(Exception, "answered 503"):
                host.export(App, {"repo": "some/repo"})
            self.assertEqual((host.records, host.cursors), ({}, {}))

    def test_a_refusal_says_what_to_do(self):
        with testing.Host() as host:
            host.answer("GET", LIST, status=401)
            with self.assertRaisesRegex(Unauthenticated, "grant a credential"):
                host.export(App, {"repo": "some/repo"})

    def test_a_repository_that_is_not_there(self):
        with testing.Host() as host:
            host.answer("GET", LIST[: -len("/issues")], status=404)
            self.assertIn("answered 404", host.validate_config(App, {"repo": "some/repo"}).errors[0])


if __name__ == "__main__":
    unittest.main()
