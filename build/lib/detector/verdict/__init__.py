"""Verdict: vectors become decisions.

    bundle -> Model ------ vectors -> margins --+
                                                v
    policy file -> Policy -> rules --------> Judge -> Decision -> enforcement, analysts
                                              |  ^                    |
                            Holds, reasons ---+  +----- Memory <------+  (the decisions topic)

`trees`, `manifest`, `modelfile` and `bundle` make and check the model; `expression`, `lists` and `facts`
are what rules are made of; `holds` says what turns a block into a flag; `writing`, `reasons` and `contributions` put
a decision into words; `drift` tells whether what is scored still looks like what the model was made on. Nothing here
knows a clock or a broker.
"""
