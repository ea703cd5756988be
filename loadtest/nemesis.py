"""A nemesis: one kind of fault, as a run injects it.

1. `strike` does the damage. It returns at the kill, or when a fault that lasts has ended.
2. The run measures how long it takes until every partition of both roles has committed what was written since.
3. `heal` undoes what is left of the damage, and may wait for it to show.
4. Everything written is decided, and the oracles have their say; `see` looks at what else they counted.

What should have been seen and was not, beyond the oracles' balance, is a sentence in `unmet`.
"""

from abc import ABC, abstractmethod
from typing import Final

from loadtest.fleet import Worker
from loadtest.world import World

SESSION_S: Final = 6.0
"""After which the group takes a silent member for gone."""
TRANSACTION_S: Final = 10.0
"""After which the broker ends a transaction that nobody carries on, give or take a second."""


class Nemesis(ABC):
    """A kind of fault; `name` is what the command line and the table call it."""

    name = ""
    strikes = 1
    """How often in one turn."""

    def __init__(self) -> None:
        self.unmet: list[str] = []
        self.notes: list[str] = []
        """What was measured beside."""

    @abstractmethod
    def strike(self, world: World) -> None:
        """The fault is injected."""

    def heal(self, world: World) -> None:  # noqa: B027 (most faults leave nothing to undo)
        """Nothing of it is left."""

    def see(self, world: World) -> None:  # noqa: B027 (most faults show in the balance alone)
        """Everything is decided and booked."""

    def want(self, held: bool, sentence: str) -> None:
        """Note `sentence` unless it held."""
        if not held:
            self.unmet.append(f"{self.name}: {sentence}")


def any_of(world: World, role: str) -> Worker:
    """A worker of that role, by chance."""
    return world.chance.choice(world.fleet.of(role))
