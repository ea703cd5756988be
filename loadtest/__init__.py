"""Load tests: what the detector takes and what it survives, on a Kafka of its own, on this machine.

    throughput   a backlog, worked off: records a second beside a bare consumer, and what they cost
    latency      from writing to the committed decision, at several paces, by stage
    peers        other engines do a smaller job on the same records in the same run, and what each of them costs
    ingest       ingest's kernels alone, by source, beside the general way that they must equal; no broker
    state        what numbers take in memory, and what a row costs when there are many of them; no broker
    held         throughput where detect holds so many numbers already
    bench        whether anything costs more than it did: ratios, against a committed baseline
    faults       nemeses strike, oracles say what was lost or is there twice
    recovery     kill -9 under load: the time until every partition is decided on again
    rebalance    workers come and go: how long each partition pauses
    soak         paced load and a kill a minute: what grows, and when latency is back
    fuzz         broken messages to everything that takes bytes from outside; it needs no broker

Else the roles run as in production, as processes of their own, and are looked at from outside: topics, committed
offsets, /metrics and /proc.

    faults:     history -> World (Proxy, Fleet, Oracle) <- Nemesis
    the others: Population -> packed, stencil -> Load -> Deployment (Fleet) -> Prober -> timeline
"""
