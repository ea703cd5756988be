"""The broker that is this process: for the demo, replays and fast tests.

Logs, transactions, groups and fencing as in Kafka, without files, sockets or clocks of its own:
equal calls in equal order give equal offsets, assignments and batches. A crash is an object that
is no longer used: its transaction stays open, and hides what lies behind it, until a producer
takes the same transactional id.

A transaction's markers are written all at once, and offsets are pending no longer than it is open.

It differs from Kafka in that a member that closes or joins changes the group at once, that no
member and no transaction times out by itself (`expire` and a successor do it), and that nothing
is deleted by age (`trim` and `truncate` do it). `detector.broker.simulated` adds timeouts, late
markers and faults, for tests.

    MemoryConsumer   a member of a Group, which says which partitions are whose
    MemoryProducer   writes to Logs within a Transaction, whose end puts a marker into each Log and Group
    MemoryBroker     makes both, holds Logs and Groups, and guards them by one lock
"""

from detector.broker.memory.broker import MemoryBroker
from detector.broker.memory.consumer import MemoryConsumer
from detector.broker.memory.producer import MemoryProducer

__all__ = ["MemoryBroker", "MemoryConsumer", "MemoryProducer"]
