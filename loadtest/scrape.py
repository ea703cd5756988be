"""What a process tells of itself at /metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One series, at one moment."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Scraped:
    """All series of a process."""

    samples: tuple[Sample, ...]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the series of that name which carry `labels`; 0 where there is none."""
        return sum(s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items())

    def label_values(self, name: str, label: str) -> set[str]:
        """What `label` is in the series of that name."""
        return {sample.labels[label] for sample in self.samples if sample.name == name}

    def at_most(self, name: str) -> float | None:
        """The upper edge of the highest bucket of a histogram that holds anything; None where it is empty or absent."""
        buckets = sorted((float(s.labels["le"]), s.value) for s in self.samples if s.name == f"{name}_bucket")
        if not buckets or not buckets[-1][1]:
            return None
        return next(edge for edge, count in buckets if count == buckets[-1][1])

    def buckets(self, name: str, **labels: str) -> dict[float, float]:
        """How many observations of a histogram do not exceed each edge, over the series which carry `labels`."""
        counts: dict[float, float] = {}
        for s in self.samples:
            if s.name == f"{name}_bucket" and labels.items() <= s.labels.items():
                edge = float(s.labels["le"])
                counts[edge] = counts.get(edge, 0.0) + s.value
        return counts


def scrape(url: str) -> Scraped:
    """The metrics at `url`/metrics; raises `OSError` where nobody answers."""
    with urlopen(f"{url}/metrics", timeout=WAIT_S) as answer:
        return parse(answer.read().decode())


def parse(text: str) -> Scraped:
    """Prometheus' text format, read."""
    families = text_string_to_metric_families(text)
    return Scraped(tuple(Sample(s.name, s.labels, s.value) for family in families for s in family.samples))
