"""Helm itself: built from its published source by Go, once, into `.helm/`.

`python -m helm.tool` prints where it is.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from detector.config import ROOT
from detector.errors import ConfigError, DetectorError

VERSION: Final = "v3.22.0"
KUBERNETES: Final = "34"
"""Minor version of Kubernetes that it renders for, as Helm's own makefile sets it: 1.20 where nothing is said."""
CACHE: Final = ROOT / ".helm"


def fetch() -> Path:
    """The program, built on first use and whenever the version changes: three minutes of processor time."""
    program = CACHE / f"helm-{VERSION}-{KUBERNETES}"
    if program.is_file():
        return program
    if shutil.which("go") is None:
        raise ConfigError("Helm is built by Go (not found: go)")
    CACHE.mkdir(parents=True, exist_ok=True)
    # Renamed when complete, as Kafka's jars are.
    with tempfile.TemporaryDirectory(dir=CACHE) as partial:
        flags = "-s -w"  # neither symbols nor debugging data
        flags += " -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1"
        flags += f" -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor={KUBERNETES}"
        command = ["go", "install", "-trimpath", "-ldflags", flags, f"helm.sh/helm/v3/cmd/helm@{VERSION}"]
        environment = os.environ | {"GOBIN": partial, "CGO_ENABLED": "0"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=partial)
        if done.returncode != 0:
            raise ConfigError(f"helm {VERSION}: Go could not build it:\n{done.stdout}{done.stderr}")
        Path(partial, "helm").rename(program)
    return program


def main() -> int:
    """Say where it is."""
    try:
        sys.stdout.write(f"{fetch()}\n")
    except DetectorError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
