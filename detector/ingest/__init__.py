"""Bytes become rows.

    message -> codec -> columns -> facts -> rows
                          ^  ^
                    mapping  numbers, zones

`codec` decodes a batch and takes out what the mapping names; `columns` parses each distinct
value once; `facts` puts together what each record says and what is wrong with it; `rows`
decides which parties it speaks for. Nothing a source may send comes out as an exception:
a record gives rows, is skipped on purpose, or is `Rejected` with a reason.
"""
