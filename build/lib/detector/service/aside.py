"""Aside: calls made beside the poll loop, in threads that never keep a process from ending."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Executor(Protocol):
    """Whoever makes calls, now or later: threads, or a test that decides when."""

    def submit(self, call: Callable[..., T], /, *arguments: Any) -> "Future[T]":
        """The call will be made, and its outcome be in the future."""
        ...

    def shutdown(self) -> None:
        """Nothing more will be submitted."""
        ...


class Aside:
    """A few threads that make calls in the order in which they were submitted.

    Unlike those of `ThreadPoolExecutor` they are daemons: a worker that has to end at once would else wait for
    a restore that waits for another's transaction, and keep its place in the group meanwhile.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = SimpleQueue()
        self._threads = threads
        for number in range(threads):
            Thread(target=self._work, name=f"{name}-{number}", daemon=True).start()

    def submit(self, call: Callable[..., T], /, *arguments: Any) -> "Future[T]":
        made: Future[T] = Future()
        self._calls.put((made, call, arguments))
        return made

    def shutdown(self) -> None:
        for _ in range(self._threads):
            self._calls.put(None)

    def _work(self) -> None:
        while (submitted := self._calls.get()) is not None:
            made, call, arguments = submitted
            try:
                made.set_result(call(*arguments))
            except BaseException as error:
                made.set_exception(error)
            # What a call came to is its caller's alone: a partition's state is large.
            del submitted, made, call, arguments
