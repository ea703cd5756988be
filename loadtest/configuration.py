"""The configuration of a run: `configs/local.yaml` on a broker of the run's own, with the plain source alone."""

from pathlib import Path
from typing import Any, Final

import yaml
from msgspec.structs import asdict

from detector.config import ROOT, Topics
from loadtest.oracle import RECORDS

CONFIGS: Final = ROOT / "configs"


def configure(
    folder: Path, address: str, instance: str, *, source: dict[str, Any] | None = None, **sections: dict[str, Any]
) -> Path:
    """A file in `folder`, named after the instance. Fields of `sections` replace those of the shipped file,
    and those of `source` the plain source's.

    Snapshots go to `folder/snapshots`, and every process chooses a free admin port, unless the sections say otherwise.
    """
    tree: dict[str, Any] = yaml.safe_load((CONFIGS / "local.yaml").read_text(encoding="utf-8"))
    tree["kafka"] = {"bootstrap.servers": address}
    tree["instance"] = instance
    tree["sources"] = [source for source in tree["sources"] if source["topic"] == RECORDS]
    for one in tree["sources"]:
        one["mapping"] = str(CONFIGS / one["mapping"])
        one |= source or {}
    for section, field in (("home", "zones"), ("model", "bundle"), ("verdict", "policy")):
        tree[section][field] = str((CONFIGS / tree[section][field]).resolve())
    tree["detect"] = {**tree.get("detect", {}), "snapshots": str(folder / "snapshots")}
    tree["admin"] = {"port": 0}
    change(tree, sections)
    path = folder / f"{instance}.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


def reconfigure(path: Path, **sections: dict[str, Any]) -> None:
    """The file says so too: processes that start from now on follow it."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(tree, sections)
    beside = path.with_suffix(".new")
    beside.write_text(yaml.safe_dump(tree), encoding="utf-8")
    beside.replace(path)


def regroup(path: Path, group: str) -> None:
    """The file is another deployment's, on the same broker: with groups, transactional ids and topics of its own."""
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    tree["group"] = group
    tree["topics"] |= {name: f"{group}.{topic}" for name, topic in asdict(Topics()).items() if isinstance(topic, str)}
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")


def change(tree: dict[str, Any], sections: dict[str, dict[str, Any]]) -> None:
    """Fields of `sections` replace those of `tree`, which is changed."""
    for section, fields in sections.items():
        tree[section] = {**tree.get(section, {}), **fields}
