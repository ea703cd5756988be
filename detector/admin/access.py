"""Access: who a request comes from, whether they may, and whether they ask too often.

    request -> Access.let_in -> Caller, or `Refused`: 401 without a token that is known, 403, 429

Without a file of tokens whoever is on this machine is a viewer, and nobody is more. The Host header must then name
this machine: else a page of a stranger that a browser here has open could read along, by a name that leads here.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address
from threading import Lock
from typing import Final

from detector.admin.http import Refused, Request
from detector.admin.tokens import Caller, Role, Tokens

A_SECOND: Final = 10.0
BURST: Final = 40
"""Requests of one caller: a page that is looked at asks once in five seconds, a script waits its turn."""
FAILURES_A_SECOND: Final = 0.5
FAILURES: Final = 10
"""Wrong tokens from one address, before even right ones have to wait."""
CALLERS: Final = 4_096
"""Callers remembered; the one longest silent goes for a new one."""

HERE: Final = Caller("local", Role.VIEWER)
CHALLENGE: Final = 'Basic realm="detector", charset="UTF-8"'


class Limiter:
    """A bucket of `burst` drops for each key, refilled with `rate` a second."""

    def __init__(self, rate: float, burst: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._now_s = rate, burst, now_s
        self._lock = Lock()
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: str, take: int = 1) -> float:
        """Takes `take` drops (0: only looks) if there are any; 0.0, or how long until there is one."""
        with self._lock:
            now_s = self._now_s()
            left, at_s = self._buckets.pop(key, (float(self._burst), now_s))
            left = min(float(self._burst), left + (now_s - at_s) * self._rate)
            waits = 0.0 if left >= 1 else (1 - left) / self._rate
            self._buckets[key] = (left if waits else left - take, now_s)
            if len(self._buckets) > CALLERS:
                self._buckets.popitem(last=False)
            return waits


class Access:
    """At the door of everything but the probes."""

    def __init__(
        self,
        tokens: Tokens | None,
        now_s: Callable[[], float] = time.monotonic,
        a_second: float = A_SECOND,
        burst: int = BURST,
        failures: int = FAILURES,
    ) -> None:
        self._tokens = tokens
        self._asked = Limiter(a_second, burst, now_s)
        self._failed = Limiter(FAILURES_A_SECOND, failures, now_s)

    def let_in(self, request: Request, role: Role) -> Caller:
        """The caller, who has at least `role`; else raises `Refused`."""
        caller = self._caller(request)
        if caller.role < role:
            needs = f"this needs the role {role.name.lower()}"
            raise Refused(403, needs if self._tokens else f"{needs}: set admin.tokens")
        wait_s = self._asked.wait_s(f"{request.address if caller is HERE else ''} {caller.name}")
        if wait_s:
            raise _too_often(wait_s)
        return caller

    def _caller(self, request: Request) -> Caller:
        if self._tokens is None:
            if _is_loopback(request.address) and _names_loopback(request.host):
                return HERE
            raise Refused(403, "without admin.tokens this answers on the machine itself only")
        wait_s = self._failed.wait_s(request.address, take=0)
        if wait_s:
            raise _too_often(wait_s)
        # A browser sends Basic credentials along with whatever a stranger's page makes it ask: good for looking only.
        caller = self._tokens.caller(request.authorization, basic=request.method == "GET")
        if caller is None:
            if request.authorization:
                self._failed.wait_s(request.address)
            raise Refused(401, "wanted a token that is known", {"WWW-Authenticate": CHALLENGE})
        return caller


def _too_often(wait_s: float) -> Refused:
    return Refused(429, "too many requests", {"Retry-After": str(int(wait_s) + 1)})


def _is_loopback(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def _names_loopback(host: str) -> bool:
    """Whether a Host header, its port aside, is this machine by address or as localhost."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else host
    name = name.strip("[]").lower()
    return name == "localhost" or _is_loopback(name)
