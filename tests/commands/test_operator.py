"""What an operator writes becomes a command on its topic; topics are made and checked by command."""

import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from detector.broker import TopicPartition
from detector.broker.memory import MemoryBroker
from detector.cli import main
from detector.commands.operator import seconds
from detector.errors import Recoverable
from detector.ingest.commands import Command, read_command, read_mode_change
from detector.records import parse_number, partition_of
from detector.service.switch import KEY
from detector.verdict.decisions import Decision, Evidence

CONFIG = """
home: {country_code: "999"}
topics: {partitions: 2}
sources: [{name: plain, id: 1, topic: records, mapping: plain.yaml}]
"""


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """The broker that commands find instead of Kafka."""
    broker = MemoryBroker()
    for module in ("topics", "operator", "mode", "listing"):
        monkeypatch.setattr(f"detector.commands.{module}.open_kafka", lambda settings: nullcontext(broker))
    return broker


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., int]:
    """Run a command with a small configuration."""
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG)
    return lambda *argv: main([*argv, "--config", str(path)])


def commands_on(broker: MemoryBroker) -> list[Command]:
    """Every command on the topic."""
    found = []
    for q in range(broker.partitions()["commands"]):
        at = TopicPartition("commands", q)
        for message in broker.read(at, 0, broker.watermarks(at)[1]):
            command = read_command(message.value())
            if isinstance(command, Command):
                found.append(command)
            else:
                assert read_mode_change(message.value())
    return found


def test_topics_are_made_once(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """The second time everything was there; check agrees."""
    assert run("topics", "create") == 0
    assert "decisions: made with 2 partitions" in capsys.readouterr().out
    assert run("topics", "create") == 0
    assert "decisions: was there" in capsys.readouterr().out
    assert run("topics", "check") == 0


def test_missing_topics_are_named_with_the_command_that_makes_them(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2: a restart does not mend it."""
    assert run("topics", "check") == 2
    assert "`detector topics create`" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["release", "allow", "block"])
def test_a_command_carries_actor_and_reason(broker: MemoryBroker, run: Callable[..., int], action: str) -> None:
    """What ingest reads back is what was typed."""
    run("topics", "create")
    assert run(action, "+999712345678", "--reason", "call centre of the bank", "--actor", "eva", "--ttl", "12h") == 0
    (command,) = commands_on(broker)
    assert (command.action, command.number, command.actor) == (action, "+999712345678", "eva")
    assert (command.reason, command.service, command.ttl_s) == ("call centre of the bank", "all", 43_200)


def test_a_number_that_is_none_is_refused(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is published, and the message says how numbers are written."""
    run("topics", "create")
    assert run("block", "0712 345", "--reason", "typo") == 2
    assert "block: wanted +E164" in capsys.readouterr().err
    assert commands_on(broker) == []


def test_lives_are_written_in_units() -> None:
    """Seconds, minutes, hours, days; nothing else."""
    assert [seconds(text) for text in ("90", "90s", "15m", "12h", "7d")] == [90, 90, 900, 43_200, 604_800]


@pytest.mark.parametrize("text", ["0", "-1", "1w", "", "1.5h"])
def test_other_lives_are_refused(text: str) -> None:
    """A life that nobody can read would be a block that nobody expects."""
    with pytest.raises(Exception, match="wanted a positive number"):
        seconds(text)


def test_a_life_that_decisions_are_not_kept_for_is_refused(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be forgotten before its end, without a word."""
    run("topics", "create")
    with pytest.raises(SystemExit):
        run("allow", "+999712345678", "--reason", "a hospital", "--ttl", "91d")
    assert "wanted at most 90d, for decisions are kept no longer (got '91d')" in capsys.readouterr().err
    assert commands_on(broker) == []
    assert run("allow", "+999712345678", "--reason", "a hospital", "--ttl", "90d") == 0


def block(number: str, rule: str) -> Decision:
    """A block of voice calls that the number begins, for an hour from now."""
    now_ms = int(time.time() * 1000)
    return Decision(
        decision_id=f"0-{number}-0-{rule}",
        number=number,
        service="voice",
        action="block",
        scope="originating",
        party="own",
        point="subscriber",
        basis="analytics",
        issued_at=now_ms,
        since=now_ms,
        expires_at=now_ms + 3_600_000,
        version=1,
        reason="it rings",
        rule=rule,
        mode="enforce",
        model_version="m-1",
        policy_version="p-1",
        evidence=Evidence(event_ms=now_ms),
    )


def publish(broker: MemoryBroker, decision: Decision, partition: int) -> None:
    """It stands on the topic `decisions`."""
    broker.publish("decisions", [(decision.key().encode(), decision.to_json())], partition)


def hold(broker: MemoryBroker, count: int, rule: str) -> None:
    """So many blocks of a rule are in force."""
    for i in range(count):
        publish(broker, block(f"+99971{len(rule)}{i:05}", rule), 0)


NUMBER = "+999712345678"
HELD = block(NUMBER, "wangiri")
BY = "in force: block of {} (voice, originating) by wangiri"
NOTHING = f"nothing is in force of {NUMBER} ({{}}): all that this does is keep model rules away from it"


@pytest.mark.parametrize(
    ("words", "decided", "said"),
    [
        pytest.param((), [HELD], [], id="in force"),
        pytest.param((), [], [NOTHING.format("all, all")], id="nothing at all"),
        pytest.param((), [replace(HELD, number=f"{NUMBER}9")], [NOTHING.format("all, all")], id="of another number"),
        pytest.param((), [replace(HELD, expires_at=HELD.issued_at)], [NOTHING.format("all, all")], id="over"),
        pytest.param((), [HELD, replace(HELD, action="release")], [NOTHING.format("all, all")], id="released"),
        pytest.param((), [replace(HELD, action="release"), HELD], [], id="decided again"),
        pytest.param(
            (),
            [replace(HELD, number=f"{NUMBER}@7")],
            [NOTHING.format("all, all"), BY.format(f"{NUMBER}@7")],
            id="on a trunk",
        ),
        pytest.param(("--service", "voice", "--scope", "originating"), [HELD], [], id="as it is meant"),
        pytest.param(
            ("--service", "sms"), [HELD], [NOTHING.format("sms, all"), BY.format(NUMBER)], id="another service"
        ),
        pytest.param(
            ("--scope", "trunk:7"), [HELD], [NOTHING.format("all, trunk:7"), BY.format(NUMBER)], id="another scope"
        ),
    ],
)
def test_a_release_that_ends_nothing_says_so_and_what_is_in_force_of_the_number(
    broker: MemoryBroker,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    decided: list[Decision],
    said: list[str],
) -> None:
    """It is given all the same: it keeps model rules away."""
    run("topics", "create")
    for decision in decided:
        publish(broker, decision, int(partition_of(np.array([parse_number(NUMBER)], np.uint64), 2)[0]))
    capsys.readouterr()
    assert run("release", NUMBER, "--reason", "a bank", *words) == 0
    published, *hint = capsys.readouterr().out.splitlines()
    assert "published as" in published
    assert hint == said
    assert [command.number for command in commands_on(broker)] == [NUMBER]


@pytest.mark.parametrize("action", ["allow", "block"])
def test_what_is_not_meant_to_end_anything_says_nothing_of_it(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str], action: str
) -> None:
    """Nothing is in force of most numbers that are allowed or blocked."""
    run("topics", "create")
    capsys.readouterr()
    assert run(action, NUMBER, "--reason", "a bank") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("question", ["watermarks", "read"])
def test_a_release_is_given_where_nobody_may_read_what_is_in_force(
    broker: MemoryBroker,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    question: str,
) -> None:
    """The answer says that it cannot say."""
    run("topics", "create")

    def refuse(at: TopicPartition, *range_: int) -> None:
        raise Recoverable(f"{question} of {at.topic}: not authorized")

    capsys.readouterr()
    with monkeypatch.context() as refused:
        refused.setattr(broker, question, refuse)
        assert run("release", NUMBER, "--reason", "a bank") == 0
    published, hint = capsys.readouterr().out.splitlines()
    assert "published as" in published
    assert hint == f"whether anything was in force of {NUMBER} is not known: {question} of decisions: not authorized"
    assert [command.number for command in commands_on(broker)] == [NUMBER]


def test_a_dry_run_counts_and_orders_nothing(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """By action, rule and service, and in all."""
    run("topics", "create")
    hold(broker, 3, "surge")
    hold(broker, 2, "wangiri")
    capsys.readouterr()
    assert run("release", "--where", "model=m-1", "--dry-run", "--reason", "a bad model") == 0
    printed = capsys.readouterr().out.split("\n")
    assert [line.split() for line in printed[:2]] == [
        ["3", "block", "by", "surge,", "voice"],
        ["2", "block", "by", "wangiri,", "voice"],
    ]
    assert printed[2].split() == ["5", "decisions", "in", "force", "on", "5", "numbers"]
    assert commands_on(broker) == []


def test_a_mass_release_orders_one_for_each_and_says_what_is_left(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody obeys here: exit 1 after the time that it waits. Without a terminal, nothing is done unasked."""
    run("topics", "create")
    hold(broker, 3, "surge")
    hold(broker, 2, "wangiri")
    words = ("release", "--where", "rule=wangiri", "--reason", "a bad rule", "--actor", "eva")
    assert run(*words) == 2
    assert "--yes" in capsys.readouterr().err
    assert commands_on(broker) == []
    assert run(*words, "--yes", "--wait", "1") == 1
    assert "2 still are" in capsys.readouterr().out
    commands = commands_on(broker)
    assert [one.ends and one.ends.rule for one in commands] == ["wangiri", "wangiri"]
    assert {(one.actor, one.reason, one.batch) for one in commands} == {("eva", "a bad rule", "rule=wangiri")}
    assert run("commands", "list") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "eva  release of 2 where rule=wangiri  a bad rule" in line
    assert run("commands", "list", "--each", "--json") == 0
    assert [json.loads(one)["id"] for one in capsys.readouterr().out.splitlines()] == [one.id for one in commands]


def test_what_is_decided_while_the_operator_thinks_is_seen(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A colleague released the same meanwhile: nothing is waited for."""
    run("topics", "create")
    hold(broker, 1, "wangiri")

    def meanwhile(count: int) -> bool:
        at = TopicPartition("decisions", 0)
        (held,) = (Decision.from_json(message.value() or b"") for message in broker.read(at, 0, 1))
        gone = replace(held, action="release", rule="operator", since=held.since + 1, version=2)
        broker.publish("decisions", [(gone.key().encode(), gone.to_json())], 0)
        return True

    monkeypatch.setattr("detector.commands.operator._agreed", meanwhile)
    assert run("release", "--where", "rule=wangiri", "--reason", "a bad rule", "--wait", "5") == 0
    assert "1 of 1 decisions are no longer in force" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("+999712345678", "--where", "rule=x"),
        ("--where", "rule=x", "--service", "sms"),
        ("--where", "rule=x", "--scope", "all"),
    ],
)
def test_a_release_is_of_a_number_or_of_what_words_describe(
    broker: MemoryBroker, run: Callable[..., int], words: tuple[str, ...]
) -> None:
    """Anything else is a slip."""
    run("topics", "create")
    assert run("release", *words, "--reason", "x", "--yes") == 2
    assert commands_on(broker) == []


@pytest.mark.parametrize(("words", "mode"), [(("kill",), "shadow"), (("mode", "configured"), "configured")])
def test_a_change_of_mode_stands_in_control_and_in_the_audit(
    broker: MemoryBroker,
    run: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    mode: str,
) -> None:
    """With who and why; where nobody decides, that is said."""
    run("topics", "create")
    assert run(*words, "--reason", "it blocks a bank", "--actor", "eva", "--wait", "1") == 0
    assert "0 of 2 partitions decide so\nnot said of 0, 1" in capsys.readouterr().out
    for topic, partitions in (("control", 1), ("commands", 2)):
        messages = [
            message
            for q in range(partitions)
            for message in broker.read(TopicPartition(topic, q), 0, broker.watermarks(TopicPartition(topic, q))[1])
        ]
        (change,) = [read_mode_change(message.value()) for message in messages if message.key() == KEY]
        assert change is not None
        assert (change.mode, change.actor, change.reason) == (mode, "eva", "it blocks a bank")
    assert run("commands", "list", "--actor", "eva") == 0
    assert f"eva  mode {mode}  it blocks a bank" in capsys.readouterr().out
    assert run("commands", "list", "--actor", "ana") == 0
    assert capsys.readouterr().out == ""


def test_what_somebody_wrote_does_not_command_the_terminal(
    broker: MemoryBroker, run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A reason may hold anything; each order stays one line."""
    run("topics", "create")
    run("release", "+999712345678", "--reason", "a\nb\x1b[2Jc")
    capsys.readouterr()
    run("commands", "list")
    (line,) = capsys.readouterr().out.splitlines()
    assert "\x1b" not in line


def test_a_token_is_shown_once_and_its_hash_is_for_the_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What is printed is a line that `admin.tokens` reads."""
    from detector.admin.tokens import Tokens

    assert main(["token", "ana", "operator"]) == 0
    printed = capsys.readouterr()
    token = printed.err.split()[-1]
    (tmp_path / "tokens.yaml").write_text(printed.out)
    caller = Tokens(tmp_path / "tokens.yaml").caller(f"Bearer {token}", basic=False)
    assert caller is not None
    assert (caller.name, caller.role.name) == ("ana", "OPERATOR")
    assert sha256(token.encode()).hexdigest() in printed.out
    assert token not in printed.out
