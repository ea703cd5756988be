"""Bytes become rows.

    message -> codec -> columns -> facts -> rows
                          ^  ^
                    mapping  numbers, zones

What is written plainly, which is nearly all, goes another way to the same rows: `express` finds, reads and
packs a batch in kernels, and leaves every message that it is not sure of to the way above, which alone rejects.

    messages, joined -> jsonscan or csvscan -> texts, digits, written -> said -> packing -> rows -> scattering
                                         ^
                              layout (from the mapping)

`codec` decodes a batch and takes out what the mapping names; `columns` parses each distinct
value once; `facts` puts together what each record says and what is wrong with it; `rows`
decides which parties it speaks for. Nothing a source may send comes out as an exception:
a record gives rows, is skipped on purpose, or is `Rejected` with a reason.
"""
