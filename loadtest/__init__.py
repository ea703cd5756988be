"""Load tests: what the detector takes and what it survives, on a Kafka of its own, on this machine.

    throughput   a backlog, worked off by one process of each role: records a second, and what they cost
    faults       nemeses strike, oracles say what was lost or is there twice
    recovery     kill -9 under load: the time until every partition is decided on again
    rebalance    workers come and go: how long each partition pauses
    soak         paced load and a kill a minute: what grows, and when latency is back
    fuzz         broken messages to everything that takes bytes from outside; it needs no broker

The roles run as in production, as processes of their own, and are looked at from outside: topics, committed
offsets, /metrics and /proc. What a state looks like is nobody's business here.

    faults:     history -> World (Proxy, Fleet, Oracle) <- Nemesis
    the others: Population -> packed, stencil -> Load -> Deployment (Fleet) -> Prober -> timeline
"""
