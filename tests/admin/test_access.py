"""Who is let in, and how often."""

import os
from base64 import b64encode
from pathlib import Path

import pytest

from detector.admin import tokens
from detector.admin.access import BURST, FAILURES, Access
from detector.admin.http import Refused, Request
from detector.admin.tokens import Caller, Role, Tokens, new_token
from detector.errors import ConfigError


class Clock:
    """Turned by the test."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Looked at with every request."""
    monkeypatch.setattr(tokens, "LOOK_S", 0.0)
    return tmp_path / "tokens.yaml"


def write(file: Path, **callers: tuple[str, str]) -> None:
    """Names with role and hash, as an editor puts them in the file's place."""
    beside = file.with_suffix(".new")
    beside.write_text("".join(f"- {{name: {n}, role: {role}, sha256: {h}}}\n" for n, (role, h) in callers.items()))
    beside.replace(file)


def bearer(token: str, address: str = "10.0.0.1", **fields: str) -> Request:
    return Request("GET", "/", authorization=f"Bearer {token}", address=address, **fields)  # type: ignore[arg-type]


def status_of(access: Access, request: Request, role: Role = Role.VIEWER) -> int:
    try:
        access.let_in(request, role)
    except Refused as refused:
        return refused.status
    return 200


def test_a_token_is_its_callers_until_it_is_struck_off(file: Path, clock: Clock) -> None:
    """The file is read again when it changes; another token of the same name is let in at once."""
    (old, old_hash), (new, new_hash) = new_token(), new_token()
    write(file, ana=("operator", old_hash))
    access = Access(Tokens(file), clock)
    assert access.let_in(bearer(old), Role.OPERATOR) == Caller("ana", Role.OPERATOR)
    write(file, ana=("viewer", new_hash))
    assert status_of(access, bearer(old)) == 401
    assert status_of(access, bearer(new), Role.ANALYST) == 403
    assert status_of(access, bearer(new)) == 200


@pytest.mark.parametrize("spoilt", ["{", "- {name: ana}", "", "gone"])
def test_a_file_that_cannot_be_read_lets_nobody_in(file: Path, clock: Clock, spoilt: str) -> None:
    """Who was struck off must not stay because of a slip; mended, it is read again."""
    token, digest = new_token()
    write(file, ana=("viewer", digest))
    access = Access(Tokens(file), clock)
    if spoilt == "gone":
        os.remove(file)
    else:
        file.write_text(spoilt)
    assert status_of(access, bearer(token)) == 401
    write(file, ana=("viewer", digest))
    assert status_of(access, bearer(token)) == 200


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- {name: ana, role: chief, sha256: x}", "role"),
        ("- {name: ana, role: viewer, sha256: x}", "sha256"),
        ("- {name: a b, role: viewer, sha256: x}", "name"),
        ("- {name: ana, role: viewer, token: x}", "sha256|token"),
    ],
)
def test_a_wrong_file_stops_the_start(file: Path, text: str, why: str) -> None:
    """With the place that is wrong."""
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"tokens\.yaml.*({why})"):
        Tokens(file)


def test_a_token_in_the_place_of_its_hash_is_in_no_message(
    file: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither at the start, nor where a running process takes the file anew."""
    token, digest = new_token()
    write(file, ana=("viewer", digest))
    access = Access(Tokens(file), clock)
    write(file, ana=("viewer", token))
    with pytest.raises(ConfigError, match="sha256: Expected") as raised:
        Tokens(file)
    assert token not in str(raised.value)
    assert status_of(access, bearer(token)) == 401
    assert "nobody is let in" in caplog.text
    assert token not in caplog.text


def test_a_name_stands_once(file: Path) -> None:
    """It is what an order is signed with."""
    _, digest = new_token()
    file.write_text(f"- {{name: a, role: viewer, sha256: {digest}}}\n" * 2)
    with pytest.raises(ConfigError, match="name must differ"):
        Tokens(file)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic !!", "Basic", "Digest x", "Bearer \udc80", "x" * 9_999]
)
def test_what_is_no_token_is_nobodys(file: Path, clock: Clock, header: str) -> None:
    """401, whatever it is."""
    write(file, ana=("viewer", new_token()[1]))
    assert status_of(Access(Tokens(file), clock), Request("GET", "/", authorization=header, address="10.0.0.1")) == 401


def test_a_caller_who_asks_too_often_waits(file: Path, clock: Clock) -> None:
    """However many addresses it has; others are not held up, and it may go on when time has passed."""
    (one, one_hash), (other, other_hash) = new_token(), new_token()
    write(file, ana=("viewer", one_hash), bea=("viewer", other_hash))
    access = Access(Tokens(file), clock)
    got = [status_of(access, bearer(one, f"10.0.0.{i}")) for i in range(BURST + 2)]
    assert got == [200] * BURST + [429] * 2
    assert status_of(access, bearer(other)) == 200
    clock.now_s += 0.1
    assert [status_of(access, bearer(one)) for _ in range(2)] == [200, 429]


def test_an_address_that_guesses_waits(file: Path, clock: Clock) -> None:
    """Then even what is right is not looked at, or guessing would go on; other addresses are not held up."""
    token, digest = new_token()
    write(file, ana=("viewer", digest))
    access = Access(Tokens(file), clock)
    assert [status_of(access, bearer(f"guess-{i}")) for i in range(FAILURES + 1)] == [401] * FAILURES + [429]
    assert status_of(access, bearer(token)) == 429
    assert status_of(access, bearer(token, "10.0.0.2")) == 200
    clock.now_s += 10
    assert status_of(access, bearer(token)) == 200


def test_a_password_is_good_for_looking(file: Path, clock: Clock) -> None:
    """What a browser sends by itself orders nothing."""
    token, digest = new_token()
    write(file, ana=("operator", digest))
    access = Access(Tokens(file), clock)
    basic = "Basic " + b64encode(f"whoever:{token}".encode()).decode()
    assert status_of(access, Request("GET", "/", authorization=basic, address="10.0.0.1")) == 200
    assert status_of(access, Request("POST", "/v1/mode", authorization=basic, address="10.0.0.1")) == 401


@pytest.mark.parametrize(
    ("address", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1:9109", 200),
        ("127.0.0.1", "localhost:9109", 200),
        ("::1", "[::1]:9109", 200),
        ("::ffff:127.0.0.1", "localhost", 200),
        ("127.0.0.1", "attacker.example:9109", 403),
        ("127.0.0.1", "", 403),
        ("10.0.0.1", "localhost:9109", 403),
        ("", "localhost:9109", 403),
    ],
)
def test_without_tokens_the_machine_itself_may_look(clock: Clock, address: str, host: str, status: int) -> None:
    """By its own name: another that leads here belongs to whoever made a browser ask. Nobody is more than viewer."""
    access = Access(None, clock)
    assert status_of(access, Request("GET", "/", host=host, address=address)) == status
    assert status_of(access, Request("GET", "/", host=host, address=address), Role.ANALYST) == 403
