"""A consumer group of the broker in memory: who its members are, and which partition is whose."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from detector.broker import TopicPartition
from detector.errors import Abort, Fenced


class GroupMetadata(NamedTuple):
    """Who commits, and in which generation of the group."""

    group: str
    instance: str
    member: int
    generation: int


class Membership(NamedTuple):
    """One consumer under an instance's name. Of two consumers with one name, the higher number is the later."""

    number: int
    topics: tuple[str, ...]


@dataclass(slots=True, eq=False)
class Group:
    """Cooperative: a partition's `targets` say who is to have it; its owner keeps it until it gives it back."""

    name: str
    generation: int = 0
    members: dict[str, Membership] = field(default_factory=dict)
    owners: dict[TopicPartition, str] = field(default_factory=dict)
    targets: dict[TopicPartition, str] = field(default_factory=dict)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    pending: dict[str, dict[TopicPartition, int]] = field(default_factory=dict)
    """Transactional id -> offsets of its transaction, until the marker is here."""

    def join(self, instance: str, member: Membership, partitions: Collection[TopicPartition]) -> None:
        """`instance` is a member, and takes the place of one that had its name."""
        if instance in self.members:
            self.owners = {at: owner for at, owner in self.owners.items() if owner != instance}
        self.members[instance] = member
        self.rebalance(partitions)

    def leave(self, instance: str, partitions: Collection[TopicPartition]) -> None:
        """`instance` is no member, and owns nothing."""
        if self.members.pop(instance, None) is not None:
            self.rebalance(partitions)

    def is_member(self, instance: str, number: int, doing: str) -> bool:
        """Whether this consumer is still in; `Fenced` if another has taken its name."""
        member = self.members.get(instance)
        if member is not None and member.number > number:
            raise Fenced(f"{doing}: another consumer of group {self.name} runs as {instance}")
        return member is not None

    def check(self, metadata: GroupMetadata) -> None:
        """A commit with this metadata counts; else `Abort`: its member is out, or its generation has ended."""
        member = self.members.get(metadata.instance)
        if member is None or member.number != metadata.member or metadata.generation != self.generation:
            raise Abort(f"commit: generation {metadata.generation} of group {self.name} has ended")

    def is_stable(self, partitions: Collection[TopicPartition]) -> bool:
        """No transaction is pending that has offsets of these."""
        return not any(at in offsets for offsets in self.pending.values() for at in partitions)

    def mark(self, transactional_id: str, commit: bool) -> None:
        """The marker of a transaction is here: its offsets are the group's, or forgotten."""
        offsets = self.pending.pop(transactional_id)
        if commit:
            self.offsets.update(offsets)

    def claim(self, instance: str) -> list[TopicPartition]:
        """The partitions that are `instance`'s by now, and were not before: nobody owned them."""
        mine = sorted(at for at, target in self.targets.items() if target == instance and at not in self.owners)
        self.owners.update(dict.fromkeys(mine, instance))
        return mine

    def give_back(self, instance: str, partitions: Sequence[TopicPartition]) -> None:
        """What `instance` owns of these has no owner."""
        for at in partitions:
            if self.owners.get(at) == instance:
                del self.owners[at]

    def rebalance(self, partitions: Collection[TopicPartition]) -> None:
        """A new generation: an even share for each member, keeping what it has where that is fair."""
        self.generation += 1
        self.owners = {at: owner for at, owner in self.owners.items() if owner in self.members and at in partitions}
        self.targets = {}
        for topic in sorted({topic for member in self.members.values() for topic in member.topics}):
            readers = sorted(name for name, member in self.members.items() if topic in member.topics)
            self._share(sorted(at for at in partitions if at.topic == topic), readers)

    def _share(self, partitions: list[TopicPartition], readers: list[str]) -> None:
        """Targets for one topic's partitions, so that the fewest move."""
        fewest, more = divmod(len(partitions), len(readers))
        held = {name: [at for at in partitions if self.owners.get(at) == name] for name in readers}
        spare: list[str] = []
        # Those who hold most take the larger shares.
        for rank, name in enumerate(sorted(readers, key=lambda name: (-len(held[name]), name))):
            share = fewest + (rank < more)
            kept = held[name][:share]
            self.targets.update(dict.fromkeys(kept, name))
            spare += [name] * (share - len(kept))
        self.targets.update(zip([at for at in partitions if at not in self.targets], spare, strict=True))
