"""The SDK with the stand-in host, natively: `python -m unittest discover guest-sdk/python/tests`."""

import dataclasses
import datetime
import enum
import json
import logging
import os
import sys
import unittest
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import agent_sdk  # noqa: E402
from agent_sdk import errors, git, http, log, paging, session, state, testing  # noqa: E402

THINGS = agent_sdk.Model("test.Thing")
URL = "https://x.invalid"


def integration(export):
    """An integration that is only its export."""

    class Test(agent_sdk.Integration):
        manifest = agent_sdk.Manifest("test", "0.1.0", models=[THINGS])

    Test.export = lambda self, run, config: export(run)
    return Test


class Sessions(unittest.TestCase):
    def setUp(self):
        self.host = testing.Host()
        self.host.__enter__()
        self.addCleanup(self.host.__exit__, None, None, None)

    def run_export(self, export):
        return self.host.export(integration(export), {})

    def test_only_done_and_checkpoint_commit(self):
        def export(run):
            with run.model(THINGS) as things:
                things.send({"ref_id": "1"})
                things.checkpoint("a")
                things.send({"ref_id": "2"})
                self.assertEqual(self.host.records["test.Thing"], [{"ref_id": "1"}])
                summary = things.done("b")
                self.assertEqual(summary["cursor"], "b")
                self.assertTrue(things.ended)

        self.run_export(export)
        self.assertEqual(self.host.records["test.Thing"], [{"ref_id": "1"}, {"ref_id": "2"}])
        self.assertEqual(self.host.cursors, {"test.Thing": "b"})

    def test_an_exception_rolls_back_and_goes_on_its_way(self):
        def export(run):
            with run.tracking("top") as top, top.model(THINGS, 7, "seven") as things:
                things.send({"ref_id": "1"})
                raise KeyError("lost")

        with self.assertRaises(KeyError):
            self.run_export(export)
        self.assertEqual((self.host.records, self.host.rolled_back), ({}, ["top/7/test.Thing", "top"]))

    def test_to_leave_without_an_end_is_a_mistake(self):
        def export(run):
            with run.model(THINGS) as things:
                things.send({"ref_id": "1"})

        with self.assertRaisesRegex(errors.Conflict, r"test\.Thing was left without an end.*call done\(cursor\)"):
            self.run_export(export)
        self.assertEqual(self.host.records, {})

    def test_a_child_that_failed_holds_back_the_cursor_above(self):
        def export(run):
            with run.tracking("top") as top:
                try:
                    with top.model(THINGS, 1):
                        raise errors.Unavailable("down")
                except errors.Unavailable as error:
                    run.failed(1, "one", error)
                with top.model(THINGS, 2) as things:
                    things.skip("no access")
                top.done("c")

        self.assertEqual(self.run_export(export), [{"ref_id": "1", "name": "one", "error": "unavailable: down"}])
        self.assertEqual((self.host.cursors, self.host.skipped), ({}, {"top/2/test.Thing": "no access"}))

    def test_a_session_with_open_children_cannot_be_done(self):
        def export(run):
            with run.tracking("top") as top:
                held = top.model(THINGS, 1)
                with self.assertRaisesRegex(errors.Conflict, "open children"):
                    top.done()
                self.assertFalse(held.ended)

        self.run_export(export)

    def test_nothing_goes_through_a_session_that_has_ended(self):
        def export(run):
            things = run.model(THINGS)
            things.done()
            for use in (things.flush, things.done, things.rollback, lambda: things.last_processed):
                with self.assertRaisesRegex(errors.Conflict, "has ended already"):
                    use()

        self.run_export(export)

    def test_records_go_in_batches(self):
        batches = []

        def export(run):
            with run.model(THINGS) as things:
                raw = things._raw
                send = raw.send_text
                raw.send_text = lambda batch: (batches.append(batch), send(batch))[1]
                for i in range(3000):
                    things.send({"ref_id": str(i), "body": "x" * 1000})
                things.done()
                self.assertEqual(things.sent, (3000, 0))

        self.run_export(export)
        self.assertEqual(len(self.host.records["test.Thing"]), 3000)
        self.assertEqual(len(batches), 6)
        for batch in batches[:-1]:
            self.assertTrue(session.BATCH_CHARS <= len(batch) < session.BATCH_CHARS + 1100, len(batch))

    def test_a_refused_batch_stays_and_the_session_cannot_be_done(self):
        def export(run):
            with run.model(THINGS) as things:
                things.send({"ref_id": "1"})
                things.send({"ref_id": "2", "title": "a\ud800b"})
                for commit in (things.flush, things.done, lambda: things.checkpoint("c")):
                    with self.assertRaisesRegex(errors.Invalid, "record 2 of this batch of test.Thing"):
                        commit()
                raise errors.Invalid("as any integration would end")

        with self.assertRaises(errors.Invalid):
            self.run_export(export)
        self.assertEqual(self.host.records, {})

    def test_forms_of_records(self):
        class Colour(enum.Enum):
            RED = "red"

        @dataclasses.dataclass
        class Thing:
            ref_id: str
            at: datetime.datetime
            day: datetime.date
            colour: Colour

        at = datetime.datetime(2026, 11, 21, 9, 30, tzinfo=datetime.timezone.utc)
        line = session.to_json(Thing("ä\n", at, at.date(), Colour.RED), "it")
        self.assertEqual(
            line, '{"ref_id":"ä\\n","at":"2026-11-21T09:30:00Z","day":"2026-11-21","colour":"red"}'
        )
        around = {}
        around["itself"] = around
        for bad in (float("nan"), object(), {1, 2}, datetime.datetime(2026, 1, 1), around):
            with self.assertRaisesRegex(errors.Invalid, "it cannot be written as JSON: "):
                session.to_json({"bad": bad}, "it")

    def test_cursors_and_state_are_kept_between_exports(self):
        seen = []

        def export(run):
            with run.model(THINGS) as things:
                seen.append((things.last_processed, state.get_json("n", 0)))
                state.set_json("n", len(seen))
                things.done(len(seen))

        self.run_export(export)
        self.run_export(export)
        self.assertEqual(seen, [(None, 0), ("1", 1)])

    def test_repositories_commit_with_their_session(self):
        def export(run):
            with run.tracking("top") as top:
                git.export_repo(top, git.Repo("1", "one", URL + "/one.git", credential="token"))
                self.assertEqual(self.host.repos, [])
                top.done()

        self.run_export(export)
        self.assertEqual(
            self.host.repos, [{"ref_id": "1", "name": "one", "url": URL + "/one.git", "credential": "token"}]
        )

    def test_logging_goes_to_the_log(self):
        logger = logging.Logger("mine")
        logger.addHandler(log.Handler())
        log.info("a \ud800", n=1)
        try:
            raise KeyError("k")
        except KeyError:
            logger.exception("it %s", "broke")
        self.assertEqual(self.host.log[:3], [
            ("info", "a \\ud800"), ("error", "it broke"), ("error", "Traceback (most recent call last):"),
        ])
        self.assertEqual(self.host.log[-1], ("error", "KeyError: 'k'"))


class Http(unittest.TestCase):
    def setUp(self):
        self.host = testing.Host()
        self.host.__enter__()
        self.addCleanup(self.host.__exit__, None, None, None)

    def test_what_a_request_is_made_of(self):
        self.host.answer("POST", URL + "/p", json={"ok": True})
        answer = http.post(
            URL + "/p?a=b#f", params={"c d": "ö&", "no": None, "many": [1, True]}, json={"x": "ä"}, auth="token", timeout=1.5
        )
        self.assertEqual(answer.json(), {"ok": True})
        request = self.host.requests[0]
        self.assertEqual(request.url, URL + "/p?a=b&c%20d=%C3%B6%26&many=1&many=true#f")
        self.assertEqual((request.body, request.headers), ('{"x":"ä"}'.encode(), [("content-type", "application/json")]))
        self.assertEqual(dict(request.options), {"auth": "token", "timeout-ms": "1500"})

    def test_a_bad_status_is_an_error_of_the_right_kind_and_says_what_to_do(self):
        wait, spent = {"Retry-After": "60"}, {"x-ratelimit-remaining": "0"}
        for status, headers, kind, advice in [
            (401, {}, errors.Unauthenticated, ": it does not know who asks; grant a credential"),
            (403, {}, errors.Unauthenticated, ": it does not allow this"),
            (403, wait, errors.Unavailable, r" answered 403 \(wait 60 s\): "),
            (403, spent, errors.Unavailable, "its budget of requests is spent"),
            (404, {}, errors.NotFound, "there is no such thing"),
            (408, {}, errors.Unavailable, "too slow"),
            (418, {}, errors.AgentError, ': it refused; body "no"$'),
            (429, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, errors.Unavailable, r" \(wait 0 s\): it was asked too often"),
            (503, {"retry-after": "soon"}, errors.Unavailable, " answered 503: it has a fault of its own"),
        ]:
            self.host.answer("GET", URL, status=status, headers=headers, body=b"no")
            with self.assertRaisesRegex(errors.StatusError, advice) as raised:
                http.get(URL).raise_for_status()
            error = raised.exception
            self.assertIsInstance(error, kind)
            self.assertEqual((error.status, error.response.status, error.case), (status, status, kind.case))
            self.assertNotIsInstance(error, errors.Denied)
            self.assertEqual(error.is_credentials, kind is errors.Unauthenticated)
            self.assertEqual(error.is_temporary, kind is errors.Unavailable)
        self.host.answer("GET", URL, status=304)
        self.assertEqual(http.get(URL).raise_for_status().status, 304)

    def test_the_host_is_told_that_the_source_refused_the_credentials(self):
        self.host.answer("GET", URL, status=401)
        world = agent_sdk.component(integration(lambda run: http.get(URL).raise_for_status()))()
        with self.assertRaisesRegex(errors.AgentError, "^unauthenticated: https://x.invalid answered 401"):
            world.export("{}")

    def test_the_contracts_cases_become_exceptions(self):
        self.assertEqual(len(errors._OF_HOST), 16)
        for name, (kind, said) in errors._OF_HOST.items():
            refusal = type(name, (), {} if name == "HttpError_Timeout" else {"value": "why"})()
            error = errors.from_host(refusal)
            self.assertIs(type(error), kind)
            self.assertIn("time" if name == "HttpError_Timeout" else "why", str(error))
        self.assertTrue(issubclass(errors.HttpTimeout, errors.Unavailable))

    def test_several_at_a_time_and_in_order(self):
        for i in range(20):
            self.host.answer("GET", f"{URL}/{i}", json=i)
        found = [answer.json() for answer in http.get_all((f"{URL}/{i}" for i in range(20)), at_once=3)]
        self.assertEqual(found, list(range(20)))
        pending = http.submit("GET", URL + "/1")
        self.assertEqual(http.wait_any([pending]), [pending])
        pending.take()
        with self.assertRaisesRegex(errors.Invalid, "taken already"):
            pending.take()


ALL = [{"id": number} for number in range(25)]
LIST = URL + "/list"


class Paging(unittest.TestCase):
    def setUp(self):
        self.host = testing.Host()
        self.host.__enter__()
        self.addCleanup(self.host.__exit__, None, None, None)

    def serve(self, make):
        """A server that answers with what `make` says of the request's parameters: items, or items and header fields."""

        def call(request):
            made = make(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(request.url).query)))
            body, headers = made if isinstance(made, tuple) else (made, [])
            return 200, json.dumps(body).encode(), headers

        self.host.answer("GET", LIST, call=call)

    def ids(self, pages):
        return [item["id"] for page in pages for item in page.items]

    def fails(self, pages, kind, message):
        with self.assertRaisesRegex(kind, message):
            list(pages)

    def test_by_link(self):
        links = [
            r'</list?page=2&x=a,b>; title="<a>, \"b\""; REL="last next", </list>; rel="prev"',
            "<?page=3>; rel = next",
            '<?page=1>; rel="nextish", <x>; rel="prev"; rel="next"',
        ]

        def server(given):
            page = int(given.get("page", 1))
            return ALL[page * 10 - 10 : page * 10], [("link", links[page - 1])]

        self.serve(server)
        pages = list(paging.link(LIST, params={"per_page": 10}, auth="token"))
        self.assertEqual(
            [(page.number, len(page.items), page.next) for page in pages],
            [(1, 10, LIST + "?page=2&x=a,b"), (2, 10, LIST + "?page=3"), (3, 5, None)],
        )
        self.assertTrue(all(request.options == [("auth", "token")] for request in self.host.requests))
        self.assertEqual(self.ids(paging.link(LIST, resume=pages[0].next))[0], 10)

    def test_by_token(self):
        def server(given):
            at = int(given.get("cursor", "t+0")[2:])
            return {"data": {"items": ALL[at : at + 10]}, "meta": {"next": f"t+{at + 10}" if at < 20 else None}}

        self.serve(server)
        tokens = lambda **more: paging.token(LIST, "cursor", "/meta/next", items_at="/data/items", **more)  # noqa: E731
        self.assertEqual(len(self.ids(tokens())), 25)
        self.assertEqual(self.ids(tokens(resume="t+20")), [20, 21, 22, 23, 24])
        wrong = paging.token(LIST, "cursor", "/data", items_at="/data/items")
        self.fails(wrong, errors.PagingBody, "neither text nor a number")
        self.fails(paging.link(LIST), errors.PagingBody, "items_at says where the list is")

        def by_header(given):
            at = int(given.get("after", 0))
            return ALL[at : at + 10], [("x-next", str(at + 10) if at < 20 else "")]

        self.serve(by_header)
        self.assertEqual(len(self.ids(paging.token_in_header(LIST, "after", "X-Next"))), 25)

    def test_by_number_offset_and_key(self):
        self.serve(lambda given: ALL[int(given["page"]) * 10 - 10 : int(given["page"]) * 10])
        self.assertEqual(len(self.ids(paging.numbered(LIST, "page"))), 25)
        self.assertIn("page=4", self.host.requests[-1].url, "a short page does not end it")
        self.assertEqual(len(self.ids(paging.numbered(LIST, "page", resume="3"))), 5)
        self.fails(paging.numbered(LIST, "page", resume="٣"), errors.PagingBody, "is not a number|no answer")

        self.serve(lambda given: ALL[int(given["offset"]) : int(given["offset"]) + 4])
        self.assertEqual(len(self.ids(paging.offset(LIST, "offset"))), 25)

        key = lambda item: item["id"]  # noqa: E731
        after = lambda given: int(given.get("since_id", -1))  # noqa: E731
        self.serve(lambda given: [item for item in ALL if item["id"] > after(given)][:10])
        self.assertEqual(len(self.ids(paging.keyset(LIST, "since_id", key))), 25)
        self.serve(lambda given: [item for item in ALL if item["id"] >= after(given)][:10])
        self.assertEqual(len(set(self.ids(paging.keyset(LIST, "since_id", key)))), 25)

    def test_that_lead_astray(self):
        for there in ("https://evil.invalid/", "//evil.invalid/", "http://x.invalid/list", "https://x.invalid:8443/list", r"https://evil.invalid\@x.invalid/"):
            self.serve(lambda given: ([1], [("link", f"<{there}>; rel=next")]))
            pages = paging.link(LIST)
            self.assertEqual(next(pages).items, [1], "what came before is there")
            with self.assertRaisesRegex(errors.PagingElsewhere, "on another server.*follow_elsewhere=True"):
                next(pages)
            resumed = paging.link(LIST, resume="https:" + there if there.startswith("//") else there)
            self.fails(resumed, errors.PagingElsewhere, "on another server")
        self.serve(lambda given: ([1], [("link", "</list>; rel=next")]))
        self.fails(paging.link(LIST), errors.PagingRepeated, "the same page again")
        self.serve(lambda given: [1])
        self.fails(paging.numbered(LIST, "page"), errors.PagingRepeated, "does it take the parameter")
        self.serve(lambda given: {"n": len(self.host.requests), "items": [len(self.host.requests)]})
        endless = paging.token(LIST, "n", "/n", items_at="/items", pages_max=5)
        self.fails(endless, errors.PagingEndless, "more than 5 pages.*pages_max")
        self.serve(lambda given: [{"id": 7}, {"id": 7}])
        self.fails(paging.keyset(LIST, "since_id", lambda item: item["id"]), errors.PagingStuck, "the key `7`")

    def test_elsewhere_is_asked_without_secrets_if_at_all(self):
        self.serve(lambda given: ([{"id": 1}], [("link", "<https://y.invalid/list>; rel=next")]))
        self.host.answer("GET", "https://y.invalid/list", json=[{"id": 2}])
        headers = {"x-api-key": "secret", "Accept": "text/json"}
        pages = paging.link(LIST, auth="token", headers=headers, timeout=0.009, follow_elsewhere=True)
        self.assertEqual(self.ids(pages), [1, 2])
        first, second = self.host.requests
        self.assertEqual(dict(first.options), {"auth": "token", "timeout-ms": "9"})
        self.assertEqual((second.options, second.headers), ([("timeout-ms", "9")], [("Accept", "text/json")]))
        self.assertIn("without credentials", self.host.log[0][1])


class Readme(unittest.TestCase):
    def test_it_shows_the_template(self):
        with open(os.path.join(HERE, "../../../host/agent/templates/python/app.py"), encoding="utf-8") as file:
            app = file.read().replace("{{name}}", "my-issues").replace("{{title}}", "My issues")
        with open(os.path.join(HERE, "../README.md"), encoding="utf-8") as file:
            self.assertIn(app, file.read(), "copy the template's app.py into README.md")


class Entry(unittest.TestCase):
    def test_the_manifest_is_whole_and_fits_what_the_host_reads(self):
        manifest = agent_sdk.Manifest(
            "test",
            "1.2.3",
            models=[THINGS],
            network=[agent_sdk.NetworkRule.https("*.example.com", 8443, ["GET"]), agent_sdk.NetworkRule.config("/url")],
            credentials={"token": "Reads", "signer": agent_sdk.SecretSetting("/secret", "Signs", {"body": {"paths": ["/hooks"]}})},
            webhook_events=["push"],
            webhook_event_header="X-GitHub-Event",
            webhook_signature={"setting": "/secret", "token": {"header": "x-token"}},
        )
        with open(os.path.join(HERE, "../../../wit/schemas/manifest.json"), encoding="utf-8") as file:
            schema = json.load(file)
        document = manifest.document()
        self.assertLessEqual(set(schema["required"]), set(document))
        self.assertEqual(set(document), set(schema["properties"]))
        self.assertEqual(document["webhook_event_header"], "x-github-event")
        asked = schema["$defs"]["credential"]["properties"]
        for credential in document["asks"]["credentials"]:
            self.assertLessEqual(set(credential), set(asked))
        self.assertEqual(document["asks"]["credentials"][1]["place"], {"body": {"paths": ["/hooks"]}})
        rules = schema["$defs"]["network_rule"]
        for rule in document["asks"]["network"]:
            self.assertLessEqual(set(rule), set(rules["properties"]))

    def test_what_is_not_offered_is_not_supported(self):
        world = agent_sdk.component(integration(lambda run: None))()
        self.assertEqual(json.loads(world.describe())["name"], "test")
        self.assertEqual(json.loads(world.validate_config("{}")), {"ok": True, "errors": []})
        with testing.Host():
            for call in (lambda: world.onboard_export("users", "{}"), lambda: world.mutate("x", "{}", "{}")):
                with self.assertRaisesRegex(errors.AgentError, "not supported"):
                    call()

    def test_an_exception_says_what_and_where(self):
        def export(run):
            return {}["gone"]

        with testing.Host() as host:
            with self.assertRaisesRegex(errors.AgentError, r"KeyError: 'gone' \(test_sdk\.py, line \d+, in export\)"):
                agent_sdk.component(integration(export))().export("{}")
            self.assertIn(("error", "Traceback (most recent call last):"), host.log)

    def test_mistakes_are_told_when_it_is_built(self):
        for wrong in (object, int, THINGS):
            with self.assertRaisesRegex(TypeError, "subclass of agent_sdk.Integration"):
                agent_sdk.component(wrong)

        class NoManifest(agent_sdk.Integration):
            pass

        with self.assertRaisesRegex(TypeError, "has no manifest"):
            agent_sdk.component(NoManifest)

    def test_outside_of_a_component_a_host_call_says_what_to_do(self):
        with self.assertRaisesRegex(RuntimeError, "use agent_sdk.testing.Host"):
            state.get("x")


if __name__ == "__main__":
    unittest.main()
