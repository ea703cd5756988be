"""Streaming call-and-SMS fraud detector for telecom operators.

    sources -> ingest -> events.by-number -> detect -> decisions
                 |                             |
              rejects                      snapshots

`ingest` turns the records that switches and SMSCs write into rows, one per number that a
record speaks about. `detect` keeps each number's behaviour in sliding windows (`features`),
scores it and applies the carrier's policy (`verdict`), and publishes decisions.
"""

__version__ = "0.1.0"
