"""The admin port: what a process measures, whether it lives, what it knows, and what operators order, over HTTP.

    request -> server (sizes, times, connections) -> access (who asks, how often) -> routes -> an answer
                                                                                      |
      metrics, health, ready: probes, open to all  <----------------------------------+
      numbers, decisions, partitions, the page: questions to the poll loop (desk) <---+
      commands, mode: records on Kafka (`Orders`) <-----------------------------------+

Nothing here waits for the broker or touches state: the poll loop answers what it is asked between two batches.
"""

from detector.admin.access import Access
from detector.admin.api import Api, Orders
from detector.admin.desk import Desk
from detector.admin.probes import HUNG_AFTER_S, Probe
from detector.admin.server import AdminServer
from detector.admin.tokens import Tokens

__all__ = ["HUNG_AFTER_S", "Access", "AdminServer", "Api", "Desk", "Orders", "Probe", "Tokens"]
