"""The smaller job on Quix Streams: a program of its own, in a virtual environment of its own."""
