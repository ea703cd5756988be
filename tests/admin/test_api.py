"""What the API tells is what the worker knows, and what it is told to do stands on the commands topic."""

import base64
import logging
from collections.abc import Iterator
from urllib.parse import quote

import numpy as np
import orjson
import pytest

from detector.admin.api import NOTHING_ENDED, WHERE_TO_LOOK, Api
from detector.admin.desk import Desk
from detector.admin.http import Request
from detector.admin.seen import Worker
from detector.admin.tokens import Caller, Role
from detector.features.catalogue import NAMES
from detector.records import parse_number, partition_of
from detector.service.orders import Orders
from detector.service.rules import Rules
from detector.verdict.decisions import Decision
from detector.verdict.memory import Memory
from tests.admin.world import World, world
from tests.service.harness import everything, log_entries


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One worker for all of them: none asks how often one may ask."""
    with world(tmp_path_factory.mktemp("admin"), a_second=1e6, burst=10**6) as running:
        yield running


def decisions_of(here: World) -> list[Decision]:
    values = everything(here.broker, here.settings.topics.history)
    return [Decision.from_json(value or b"") for _, _, value in values]


def test_a_number_is_told_as_one_pass_over_the_log_knows_it(here: World) -> None:
    """Features, score, reasons and decisions are those of a detector that has read the same log."""
    number = decisions_of(here)[-1].number
    status, told, _ = here.ask(f"/v1/numbers/{quote(number)}", "analyst")
    assert status == 200, told
    packed = np.array([parse_number(number)], np.uint64)
    q = int(partition_of(packed, here.settings.topics.partitions)[0])
    detector = Rules.load(here.settings).detector
    part = detector.fresh(q, Memory(), Memory())
    detector.process(part, log_entries(here.broker, here.settings, q))
    vector = part.state.vectors(packed)[0]
    assert (told["partition"], told["instance"], told["known"]) == (q, "detect-0", True)
    assert list(told["features"]) == list(NAMES)
    for name, value in zip(NAMES, vector.tolist(), strict=True):
        got = told["features"][name]["value"]
        assert got is None if np.isnan(value) else got == pytest.approx(value, abs=1e-4)
    assert (told["form"], told["newest_event_ms"]) == part.state.newest_of(parse_number(number))
    assert detector.model is not None
    assert told["margin"] == detector.model.margins(vector[None, :])[0]
    assert 3 <= len(told["reasons"]) <= 5
    assert {one["number"] for one in told["decisions"]} == {number}
    assert {one["decision_id"] for one in told["decisions"]} == {
        one.decision_id for one in part.memory.decisions_of(parse_number(number))
    }


def test_a_number_of_which_nothing_is_known_is_said_to_be_unknown(here: World) -> None:
    """It has the features of one that has long been silent, and no decisions."""
    status, told, _ = here.ask("/v1/numbers/%2B4479111234567", "analyst")
    assert (status, told["known"], told["form"], told["newest_event_ms"], told["decisions"]) == (
        200,
        False,
        None,
        None,
        [],
    )


@pytest.mark.parametrize("path", ["%2B", "..%2F..%2Fetc%2Fpasswd", "short%3A", "%00", "%ff", "+0", "sender%3A%23zz"])
def test_what_is_no_number_is_refused_without_repeating_it(here: World, path: str) -> None:
    """400, in words of our own."""
    status, told, _ = here.ask(f"/v1/numbers/{path}", "analyst")
    assert status == 400
    assert told == {"error": "wanted a number as decisions write it: +4479…, +4479…@7, short:611, sender:ACME@3"}


def test_decisions_in_force_are_listed_the_newest_first(here: World) -> None:
    """All that hold, once; fewer where fewer are asked for."""
    status, told, _ = here.ask("/v1/decisions?limit=1000", "analyst")
    last = {one.key(): one for one in decisions_of(here)}
    now_ms = here.broker._clock()
    wanted = {one.decision_id for one in last.values() if one.expires_at > now_ms}
    assert status == 200
    assert {one["decision_id"] for one in told["decisions"]} == wanted
    assert told["total"] == len(wanted) > 5
    issued = [one["issued_at"] for one in told["decisions"]]
    assert issued == sorted(issued, reverse=True)
    few = here.ask("/v1/decisions?limit=3&action=block", "analyst")[1]
    assert [one["action"] for one in few["decisions"]] == ["block"] * 3
    assert few["next"] == f"{few['decisions'][-1]['issued_at']}:{few['decisions'][-1]['decision_id']}"
    assert few["total"] == sum(one.action == "block" for one in last.values() if one.decision_id in wanted)


def test_pages_of_decisions_are_all_of_them(here: World) -> None:
    """`next` of each asked for as `after`, to the last, which has none."""
    whole = here.ask("/v1/decisions?limit=1000", "analyst")[1]
    found, page = [], here.ask("/v1/decisions?limit=7", "analyst")[1]
    while page["next"] is not None:
        found += page["decisions"]
        page = here.ask(f"/v1/decisions?limit=7&after={quote(page['next'])}", "analyst")[1]
    assert [*found, *page["decisions"]] == whole["decisions"]
    assert page["total"] == whole["total"] > 7


@pytest.mark.parametrize(
    "query", ["after=x", "limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "colour=red", "partition=-1"]
)
def test_queries_that_are_not_understood_are_refused(here: World, query: str) -> None:
    """Rather than answered as if they had not been asked."""
    assert here.ask(f"/v1/decisions?{query}", "analyst")[0] == 400


def test_partitions_are_told_with_what_is_in_force(here: World) -> None:
    """A viewer may know; the counts are those of the decisions."""
    status, told, _ = here.ask("/v1/partitions", "viewer")
    listed = here.ask("/v1/decisions?limit=1000&action=block", "analyst")[1]["total"]
    assert status == 200
    assert [one["partition"] for one in told["partitions"]] == [0, 1, 2, 3]
    assert sum(one["in_force"].get("block", 0) for one in told["partitions"]) == listed > 0
    assert all(one["numbers"] > 0 and one["offset"] == one["committed"] > 0 for one in told["partitions"])


def test_an_order_is_given_in_the_name_of_the_token_and_is_obeyed(here: World) -> None:
    """A release: afterwards the number's cases are released, by whom the token says, whatever the body claims."""
    one = next(d for d in reversed(decisions_of(here)) if d.action == "block")
    status, told, _ = here.ask("/v1/commands", body={"action": "release", "number": one.number, "reason": "a bank"})
    assert (status, told["note"]) == (202, None)
    given = [order for _, order in Orders(here.broker, here.settings.topics).given() if order.id == told["id"]]
    assert [(order.actor, order.reason) for order in given] == [("operator", "a bank")]
    path = f"/v1/numbers/{quote(one.number)}"

    def released() -> bool:
        now = {d["scope"]: d for d in here.ask(path)[1]["decisions"] if d["service"] == one.service}
        return bool(now[one.scope]["action"] == "release" and now[one.scope]["source"] == "operator:operator")

    here.until("the number is released", released)
    again = here.ask("/v1/commands", body={"action": "release", "number": one.number, "reason": "a bank"})
    assert (again[0], again[1]["note"]) == (202, NOTHING_ENDED)


@pytest.mark.parametrize("other", [{"scope": "trunk:7"}, {"number": "+4479111234567"}, {"service": None}])
def test_a_release_that_ends_nothing_says_so(here: World, other: dict[str, str | None]) -> None:
    """It is given all the same. Other orders are not meant to end anything."""
    held = next(d for d in here.ask("/v1/decisions?limit=1000&action=flag")[1]["decisions"])
    body = {"number": held["number"], "reason": "a bank"} | other
    if "service" in other:
        body["service"] = "sms" if held["service"] == "voice" else "voice"
    status, told, _ = here.ask("/v1/commands", body=body | {"action": "release"})
    assert (status, told["note"]) == (202, NOTHING_ENDED)
    assert told["id"] in {order.id for _, order in Orders(here.broker, here.settings.topics).given()}
    assert here.ask("/v1/commands", body=body | {"action": "allow"})[1]["note"] is None


@pytest.mark.parametrize("desk", [None, Desk[Worker]()], ids=["ingest", "a worker that starts"])
def test_a_release_where_nothing_can_be_known_says_where_to_look(here: World, desk: Desk[Worker] | None) -> None:
    """It is given all the same."""
    orders = Orders(here.broker, here.settings.topics)
    body = orjson.dumps({"action": "release", "number": "+4479111234567", "reason": "a bank"})
    request = Request("POST", "/v1/commands", body=body, content_type="application/json")
    reply = Api("test-0", desk, orders).command(request, Caller("eva", Role.OPERATOR))
    told = orjson.loads(reply.body)
    assert (reply.status, told["note"]) == (202, f"not known here: {WHERE_TO_LOOK}")
    assert told["id"] in {order.id for _, order in orders.given()}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[" * 10_000, 400),
        ({"action": "release"}, 422),
        ({"action": "free", "number": "+9997000001", "reason": "x"}, 422),
        ({"action": "block", "number": "9997000001", "reason": "x"}, 422),
        ({"action": "block", "number": "+9997000001", "reason": "x", "ttl_s": 0}, 422),
        ({"action": "block", "number": "+9997000001", "reason": "x", "ttl_s": 91 * 86_400}, 422),
        ({"action": "block", "number": "+9997000001", "reason": "x", "scope": "everywhere"}, 422),
        ({"action": "block", "number": "+9997000001", "reason": "x", "actor": "somebody else"}, 422),
        (b" " * 20_000, 413),
    ],
)
def test_orders_that_are_not_understood_are_refused_and_not_stored(here: World, body: object, status: int) -> None:
    """Nothing stands on the topic afterwards, and nothing sent comes back."""
    before = len(list(Orders(here.broker, here.settings.topics).given()))
    got, told, _ = here.ask("/v1/commands", body=body)
    assert got == status
    assert "9997000001" not in str(told)
    assert len(list(Orders(here.broker, here.settings.topics).given())) == before


def test_orders_are_json(here: World) -> None:
    """A form that a stranger's page makes a browser send is none."""
    body = b'{"action": "block", "number": "+9997000001", "reason": "x"}'
    assert here.ask("/v1/commands", body=body, Content_Type="text/plain")[0] == 415


def test_the_kill_switch_reaches_the_worker(here: World) -> None:
    """Shadow, and back to what is configured."""
    status, told, _ = here.ask("/v1/mode", body={"mode": "shadow", "reason": "a bad rule"})
    assert status == 202
    here.until("it is shadow", lambda: here.ask("/v1/partitions")[1]["mode"] == "shadow")
    stands = here.ask("/v1/partitions")[1]
    assert (stands["mode_change"], stands["by_order"]) == (told["id"], True)
    # Nobody overlooks it on the page.
    assert f'<p class="bad">mode shadow by order {told["id"]}' in here.ask("/")[1]
    here.ask("/v1/mode", body={"mode": "configured", "reason": "mended"})
    here.until("it is enforce", lambda: here.ask("/v1/partitions")[1]["mode"] == "enforce")
    assert here.ask("/v1/partitions")[1]["by_order"] is False
    assert "by order" not in here.ask("/")[1]


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        (None, []),
        ("wrong", []),
        ("viewer", ["/", "/v1/partitions"]),
        ("analyst", ["/", "/v1/partitions", "/v1/decisions", "/v1/numbers/short:611"]),
        ("operator", ["/", "/v1/partitions", "/v1/decisions", "/v1/numbers/short:611", "/v1/commands"]),
    ],
)
def test_a_role_may_do_what_it_may(here: World, role: str | None, allowed: list[str]) -> None:
    """401 without a token that is known, 403 where the role does not suffice."""
    body = {"action": "allow", "number": "short:611", "reason": "a test"}
    for path in ("/", "/v1/partitions", "/v1/decisions", "/v1/numbers/short:611", "/v1/commands"):
        status = here.ask(path, role, body if path == "/v1/commands" else None)[0]
        wanted = 401 if not allowed else 403
        assert (status in (200, 202)) if path in allowed else (status == wanted), path


def test_a_browser_may_look_with_a_password_and_not_order(here: World) -> None:
    """Basic credentials go along with whatever a stranger's page makes a browser ask."""
    password = "Basic " + base64.b64encode(f"any:{here.tokens['operator']}".encode()).decode()
    status, _, headers = here.ask("/", None)
    assert (status, headers["www-authenticate"].partition(" ")[0]) == (401, "Basic")
    assert here.ask("/", None, Authorization=password)[0] == 200
    body = {"action": "allow", "number": "short:611", "reason": "a test"}
    assert here.ask("/v1/commands", None, body, Authorization=password)[0] == 401


def test_nothing_that_was_asked_is_logged(here: World, caplog: pytest.LogCaptureFixture) -> None:
    """Numbers above all."""
    with caplog.at_level(logging.DEBUG):
        here.ask("/v1/numbers/%2B4479111234567", "analyst")
        here.ask("/v1/numbers/4479111234567", "analyst")
        here.ask("/v1/commands", body={"action": "allow", "number": "+4479111234567", "reason": "4479111234567"})
    assert "4479111234567" not in caplog.text


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/../etc/passwd", "GET", 404),
        ("/v1/numbers/a/b", "GET", 404),
        ("/v1/numbers/", "GET", 404),
        ("/v1/mode", "GET", 405),
    ]
    + [("/v1/partitions", method, 405) for method in ("POST", "PUT", "DELETE", "TRACE", "OPTIONS")]
    + [("/" + "x" * 3_000, "GET", 414), ("/", "BREW", 501)],
)
def test_other_paths_and_methods_are_not_there(here: World, path: str, method: str, status: int) -> None:
    """And the answer holds nothing of what was asked."""
    got, told, headers = here.ask(path, "operator", method=method)
    assert got == status
    assert "passwd" not in str(told)
    assert "BREW" not in str(told)
    assert headers["x-content-type-options"] == "nosniff"
    assert "server" not in headers
