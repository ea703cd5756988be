"""Learning: from a made-up country to the model bundle that scores real ones.

    population + campaigns --simulate--> traffic --encode, columns--> records, as a switch writes them
    (months    + ordinary)                  |                            |
                                         reports              ingest, features (the real path)
                                            |                            |
                                      label files --known--> labelling --+--> table of vectors
                                                                                   |
                                                        bundle <--fitting----------+
                                                          |                        |
                                                          +------> judging <-------+ (of other numbers) --> report

In brackets: people seen for months and fraudsters as real ones mostly are; `calibration` holds their `lifetime`s to
the public table that they were fitted to.

Everything that is learnt or measured passes through the same ingest and feature code as
production; the simulator knows nothing about features.
"""
