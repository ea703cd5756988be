"""Learning: from a made-up country to the model bundle that scores real ones.

    population + campaigns --simulate--> traffic --encode--> records, as a switch writes them
                                            |                   |
                                          labels     ingest, features (the real path)
                                            |                   |
                                            +----> training <---+----> bundle ----> evaluation

Everything that is learnt or measured passes through the same ingest and feature code as
production; the simulator knows nothing about features.
"""
