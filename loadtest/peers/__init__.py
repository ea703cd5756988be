"""Peers: three other engines do a smaller job on the records that our own detector does the whole job on.

backlog -> one topic, keyed by caller -> each engine in turn -> its decisions -> compared with one plain pass

`job` says what the smaller job is. Each peer is a program of its own (`quix/`, `kstreams/`, `flink/`), tuned as its
documentation says; `build` fetches and compiles them, `engines` starts them, `compare` measures, and
`output` says what is wrong in what they published.
"""
