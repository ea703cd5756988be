"""The demo: a simulated network, its fraudsters, and what the detector made of them.

simulate -> Play (both roles on the broker in memory) -> decisions -> Score -> report
              |
            screen
"""
