"""Load tests: how much the detector takes, on a Kafka of its own, on this machine.

`python -m loadtest throughput` starts a broker, fills a source topic, lets `detector ingest` and
`detector detect` work the backlog off as separate processes, and stops everything again.

`python -m loadtest fuzz` feeds broken messages to everything that takes bytes from outside; it needs no broker.
"""
