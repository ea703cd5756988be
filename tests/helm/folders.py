"""Folders as a kubelet mounts them, so that the detector itself can read what a release gives it."""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from detector.config import Settings, load
from tests.helm.rendering import NAME, Rendered, named

SECRETS = {"KAFKA_USERNAME": "detector", "HOLD_OUT_KEY": "k"}
"""What the variants' secrets are in the tests."""


def files_of(rendered: Rendered, maker: str = f"{NAME}-detect") -> dict[str, str]:
    """What stands below /etc/detector in the pods that a StatefulSet or Job makes, by path."""
    files = {}
    for source in named(rendered.pods()[maker]["volumes"], "config")["projected"]["sources"]:
        data = rendered.one("ConfigMap", source["configMap"]["name"])["data"]
        files.update({item["path"]: data[item["key"]] for item in source["configMap"]["items"]})
    return files


def mount(folder: Path, files: dict[str, str], turn: int = 1) -> None:
    """The folder holds the files, and nothing of its turn before.

    As the kubelet's atomic writer does it: each turn has a folder of its own, `..data` is a link to it that is replaced
    in one step, what is seen are links through `..data`, and the folder of the turn before is removed.
    """
    new = folder / f"..2026_11_25_00_00_{turn:02d}.1"
    for path, text in files.items():
        (new / path).parent.mkdir(parents=True, exist_ok=True)
        (new / path).write_text(text, encoding="utf-8")
    old = (folder / "..data").resolve() if (folder / "..data").exists() else None
    (folder / "..data_tmp").symlink_to(new.name)
    os.replace(folder / "..data_tmp", folder / "..data")
    for name in {path.split("/")[0] for path in files}:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    if old is not None:
        shutil.rmtree(old)


def settings_of(rendered: Rendered) -> Settings:
    """The settings that a pod of the release reads."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        secret = folder / "password"
        secret.write_text("secret\n")
        files = {
            path: text.replace("/run/secrets/detector/kafka/", f"{folder}/")
            for path, text in files_of(rendered).items()
        }
        mount(folder / "config", files)
        environ = {**SECRETS, "DETECTOR__INSTANCE": f"{NAME}-detect-0"}
        return load(folder / "config" / "detector.yaml", environ)
