"""Questions to the poll loop: answered by its thread, between two batches, or not at all."""

import threading

import pytest

from detector.admin.desk import A_STEP, WAITING, Desk, Unanswered


def opened(patience_s: float) -> Desk[int]:
    desk: Desk[int] = Desk(patience_s)
    desk.open()
    return desk


def test_nobody_may_ask_before_it_is_open() -> None:
    """A kernel that is compiled for the first question would hold the stream up."""
    with pytest.raises(Unanswered, match="starting"):
        Desk[int](60).ask(lambda subject: subject)


def test_a_question_is_answered_by_the_loops_own_thread() -> None:
    """So that nobody else touches state."""
    desk = opened(60)
    told: list[tuple[int, int]] = []
    asker = threading.Thread(target=lambda: told.append(desk.ask(lambda subject: (subject, threading.get_ident()))))
    asker.start()
    while not told:
        desk.answer(7)
    asker.join()
    assert told == [(7, threading.get_ident())]


def test_a_loop_that_does_not_come_round_answers_nobody() -> None:
    """Who asked goes; the loop does not work for it afterwards."""
    desk = opened(0.01)
    called: list[int] = []
    with pytest.raises(Unanswered, match="no answer"):
        desk.ask(called.append)
    desk.answer(7)
    assert called == []


def test_more_questions_than_may_wait_are_turned_away() -> None:
    """And a step answers no more than a few: the stream goes first."""
    desk = opened(60)
    answered: list[int] = []
    askers = [threading.Thread(target=desk.ask, args=(answered.append,)) for _ in range(WAITING)]
    for asker in askers:
        asker.start()
    while desk._waiting.qsize() < WAITING:
        pass
    with pytest.raises(Unanswered, match="too many"):
        desk.ask(answered.append)
    desk.answer(7)
    assert len(answered) == A_STEP
    while len(answered) < WAITING:
        desk.answer(7)
    for asker in askers:
        asker.join()


def test_an_error_is_the_askers() -> None:
    """The loop goes on."""
    desk = opened(60)
    failed: list[Exception] = []

    def ask() -> None:
        try:
            desk.ask(lambda subject: subject / 0)
        except ZeroDivisionError as error:
            failed.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    while not failed:
        desk.answer(7)
    asker.join()
