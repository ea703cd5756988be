"""Rendering: values go into real Helm, Kubernetes objects come out."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from helm.copies import CHART
from helm.tool import fetch

RELEASE: Final = "fraud"
NAMESPACE: Final = "telecom"
NAME: Final = "fraud-detector"
"""What the chart calls itself then."""
VARIANTS: Final = {path.stem: path for path in sorted((CHART / "ci").glob("*.yaml"))}
ROLES: Final = ("ingest", "detect")

Object = dict[str, Any]
"""A Kubernetes object, as YAML has it."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a release would consist of."""

    objects: tuple[Object, ...]

    def of(self, kind: str) -> dict[str, Object]:
        """All of that kind, by name."""
        return {found["metadata"]["name"]: found for found in self.objects if found["kind"] == kind}

    def one(self, kind: str, name: str) -> Object:
        """The one of that kind and name."""
        return self.of(kind)[name]

    def pods(self) -> dict[str, Object]:
        """Every pod template's spec, by the name of what makes pods of it."""
        makers = self.of("StatefulSet") | self.of("Deployment") | self.of("Job")
        return {name: maker["spec"]["template"]["spec"] for name, maker in makers.items()}

    def pod(self, role: str) -> Object:
        """The pod of a role."""
        return self.pods()[f"{NAME}-{role}"]

    def containers(self) -> Iterator[tuple[str, Object]]:
        """Every container of every pod, those that only begin included."""
        for name, pod in self.pods().items():
            for container in [*pod.get("initContainers", []), *pod["containers"]]:
                yield f"{name}/{container['name']}", container

    def main(self, role: str) -> Object:
        """The container that is the role."""
        (found,) = self.pod(role)["containers"]
        return dict(found)


def run_helm(*arguments: str, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Helm with these arguments, and `values` on top of those that they name."""
    more = ["--values", "-"] if values is not None else []
    return subprocess.run(
        [fetch(), *arguments, *more], input=yaml.safe_dump(values), capture_output=True, text=True, check=False
    )


def template(values: Mapping[str, Any], variant: str, chart: Path, release: str) -> subprocess.CompletedProcess[str]:
    """What Helm makes of a variant with `values` on top; without a variant, of `values` alone."""
    under = ["--values", str(VARIANTS[variant])] if variant else []
    return run_helm("template", release, str(chart), "--namespace", NAMESPACE, *under, values=values)


def render(
    values: Mapping[str, Any] | None = None, variant: str = "minimal", chart: Path = CHART, release: str = RELEASE
) -> Rendered:
    """The objects of a variant with `values` on top; an `AssertionError` with Helm's words where it refuses."""
    done = template(values or {}, variant, chart, release)
    assert done.returncode == 0, done.stderr
    return Rendered(tuple(one for one in yaml.safe_load_all(done.stdout) if one))


@cache
def minimal() -> Rendered:
    """The objects of the least values. Rendered when first asked for: whoever collects tests may be without Go."""
    return render()


def refusal(values: Mapping[str, Any], variant: str = "minimal") -> str:
    """Why Helm refuses a variant with `values` on top."""
    done = template(values, variant, CHART, RELEASE)
    assert done.returncode != 0, done.stdout
    return done.stderr


def without_kafka() -> dict[str, Any]:
    """The least values, but for Kafka: what a file gives, another can only change."""
    values: dict[str, Any] = yaml.safe_load(VARIANTS["minimal"].read_text(encoding="utf-8"))
    del values["config"]["kafka"]
    return values


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether a selector of labels takes these."""
    return selector.items() <= labels.items()


def named(listed: Sequence[Object], name: str) -> Object:
    """The entry of that name in a list, as of volumes or variables."""
    (found,) = [entry for entry in listed if entry["name"] == name]
    return found
