"""Desk: questions that other threads put to the poll loop, and that it answers between two batches.

    admin thread -> ask -> queue -> answer, in the poll loop -> the admin thread goes on

State is mutated by the poll loop alone, and never while a question is answered: so an answer is one moment's, and
nothing in the hot path takes a lock.
"""

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, Full, Queue
from typing import Any, Final, Generic, TypeVar

S = TypeVar("S")
T = TypeVar("T")

WAITING: Final = 8
"""Questions that wait at most: whoever comes then is told to come back."""
A_STEP: Final = 2
"""Questions answered between two batches: looking at a number took 58 µs, at all partitions 6 ms where a million
decisions were remembered, which a batch of 100 ms may well take longer by."""
PATIENCE_S: Final = 3.0
"""A step takes some 100 ms; one that waits for the broker takes longer, and then nobody is answered."""


class Unanswered(Exception):
    """The poll loop has not answered: it is busy, waits for the broker, or has not begun."""


class Desk(Generic[S]):
    """Between the poll loop, which owns the subject `S`, and everybody else."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._is_open = False
        self._waiting: Queue[tuple[Callable[[S], Any], Future[Any]]] = Queue(WAITING)

    def open(self) -> None:
        """Questions may be put from now on: before, one that needs a kernel compiled would hold the stream up."""
        self._is_open = True

    def ask(self, question: Callable[[S], T]) -> T:
        """What the poll loop answers. It must be quick, change nothing, and keep nothing that is mutated later."""
        if not self._is_open:
            raise Unanswered("this process is starting")
        answer: Future[T] = Future()
        try:
            self._waiting.put_nowait((question, answer))
        except Full:
            raise Unanswered("too many questions wait already") from None
        try:
            return answer.result(self._patience_s)
        except TimeoutError:
            answer.cancel()
            raise Unanswered(f"no answer from the poll loop within {self._patience_s:.0f} s") from None

    def answer(self, subject: S) -> None:
        """Some of those who wait have their answer. Called by the poll loop, between two batches."""
        for _ in range(A_STEP):
            try:
                question, answer = self._waiting.get_nowait()
            except Empty:
                return
            if not answer.set_running_or_notify_cancel():
                continue  # who asked has gone
            try:
                answer.set_result(question(subject))
            except Exception as error:
                answer.set_exception(error)
