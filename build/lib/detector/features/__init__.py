"""Rows become vectors: what is remembered of each number, and the sixty features it gives.

    rows --event, index--> place --update--> pasts: quiet, usual or wide --vectors--> f64[n, 60]

`catalogue` is the only place that says what a feature is. `state` is the door: nothing else of
this room is called from outside but `State.update`, `State.vectors` and the catalogue.
"""
