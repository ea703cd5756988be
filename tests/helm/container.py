"""A container without an engine: the Containerfile's steps in a root of their own, and pods that run in it.

Namespaces, a root that is read-only but for volumes, another user, no capability, process 1: what a runtime gives a
pod, made with `unshare`, `mount`, `chroot` and `setpriv`. In place of the base image stands this machine's system, and
in place of the packages from PyPI those of the tests' own environment.
"""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from detector.config import ROOT
from tests.helm.containerfile import BUILD, FINAL
from tests.helm.folders import files_of, mount
from tests.helm.rendering import Object, Rendered

FROM_HOST: Final = ("usr", "bin", "sbin", "lib", "lib64")
"""The system. Where these are links, as in Debian, links are made."""
ETC: Final = ("resolv.conf", "hosts", "nsswitch.conf", "ld.so.cache", "pip.conf", "ssl")
PACKAGES: Final = sysconfig.get_paths()["purelib"]
STOP_S: Final = 60.0

MOUNT = """set -e
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
while [ "$1" != -- ]; do
  mode=$1 from=$2 to=$3; shift 3
  mount --bind "$from" "$root$to"
  [ "$mode" = rw ] || mount -o remount,bind,ro "$root$to"
done
shift
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
[ "$1" = rw ] || mount -o remount,bind,ro "$root"
shift
exec chroot "$root" "$@"
"""


def missing() -> str:
    """Why containers cannot be made here; empty where they can."""
    if os.geteuid() != 0:
        return "namespaces and other users need root"
    for name in ("unshare", "mount", "chroot", "setpriv"):
        if shutil.which(name) is None:
            return f"no {name}"
    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "sh", "-c", "mount --make-rprivate / && mount -t tmpfs none /mnt"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else f"no namespaces: {done.stderr.strip()}"


class Image:
    """A root file system, as the Containerfile builds it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._binds = [(PACKAGES, PACKAGES), (sys.base_prefix, sys.base_prefix)]
        for name in FROM_HOST:
            if Path("/", name).is_symlink():
                (root / name).symlink_to(os.readlink(Path("/", name)))
            elif Path("/", name).is_dir():
                self._binds.append((f"/{name}", f"/{name}"))
        for name in ("proc", "dev", "tmp", "etc", "run", "mnt"):
            (root / name).mkdir()
        for name in ETC:
            source = Path("/etc", name)
            if source.is_dir():
                shutil.copytree(source, root / "etc" / name, symlinks=True, ignore_dangling_symlinks=True)
            elif source.exists():
                shutil.copy(source, root / "etc" / name)
        (root / "tmp").chmod(0o1777)
        for _, to in self._binds:
            self.make_place(to)

    def make_place(self, path: str) -> None:
        """A folder that something is mounted on; others may pass through those above it."""
        place = Path(f"{self.root}{path}")
        place.mkdir(parents=True, exist_ok=True)

    def popen(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        volumes: Sequence[tuple[str, Path, str]] = (),
        user: str = "",
        **options: Any,
    ) -> "subprocess.Popen[str]":
        """The command as process 1; with a `user` it has no capability, and the root is read-only.

        Volumes are `rw` or `ro`, a folder of this machine, and where it stands.
        """
        path = f"{env.get('PATH', '').replace('$PATH', '')}:{sys.base_prefix}/bin:/usr/local/bin:/usr/bin:/bin"
        binds = [("ro", *bind) for bind in self._binds]
        binds += [(mode, str(source), to) for mode, source, to in volumes]
        for _, _, to in binds:
            self.make_place(to)
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", MOUNT, "sh", str(self.root)]
        argv += [word for bind in binds for word in bind] + ["--", "ro" if user else "rw"]
        if user:
            uid, gid = user.split(":")
            argv += ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
            argv += ["--inh-caps=-all", "--bounding-set=-all"]
        argv += ["env", "-i", *(f"{name}={value}" for name, value in env.items()), f"PATH={path}"]
        return subprocess.Popen([*argv, *command], text=True, **options)

    def run(self, command: Sequence[str], env: Mapping[str, str], **options: Any) -> str:
        """What the command writes; an `AssertionError` with it where it fails."""
        process = self.popen(command, env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
        output, _ = process.communicate()
        assert process.returncode == 0, f"{command}: exit code {process.returncode}\n{output}"
        return output


def build(root: Path) -> tuple[Image, list[str]]:
    """The image, and what its steps have written."""
    image = Image(root)
    env = BUILD.env | {"HOME": "/tmp"}
    said, here = [], "/"
    for step in BUILD.steps:
        words = step.rest.split()
        if step.keyword == "WORKDIR":
            here = step.rest
            image.make_place(here)
        elif step.keyword == "COPY":
            *sources, to = words
            for source in sources:
                _copy(ROOT / source, Path(f"{root}{here}") / to / (source if to == "./" else ""))
        elif step.keyword == "RUN" and "--requirement" in words:
            # Those of the tests stand in for them: the same requirements, installed by the same pip.
            (site,) = Path(f"{root}/opt/venv/lib").glob("python*/site-packages")
            (site / "host.pth").write_text(f"{PACKAGES}\n")
        elif step.keyword == "RUN":
            said.append(image.run(["sh", "-c", f"cd {here} && {step.rest}"], env))
    for copied in FINAL.of("COPY"):
        *flags, source, to = copied.split()
        assert (flags[0], source) == ("--from=build", to)
        for owner in (flag.removeprefix("--chown=") for flag in flags[1:]):
            uid, gid = map(int, owner.split(":"))
            for path in (Path(f"{root}{to}"), *Path(f"{root}{to}").rglob("*")):
                os.chown(path, uid, gid, follow_symlinks=False)
    return image, said


def _copy(source: Path, to: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, to)


class Pod:
    """A pod of a release, made by hand: volumes as a kubelet makes them, containers one after the other."""

    def __init__(self, image: Image, rendered: Rendered, maker: str, name: str, folder: Path, claims: Path) -> None:
        self._image = image
        self._name = name
        self._spec = rendered.pods()[maker]
        security = self._spec["securityContext"]
        self._user = f"{security['runAsUser']}:{security['runAsGroup']}"
        self._volumes: dict[str, Path] = {}
        for volume in self._spec["volumes"]:
            path = folder / volume["name"]
            if "persistentVolumeClaim" in volume:
                path = claims / volume["persistentVolumeClaim"]["claimName"]
            path.mkdir(parents=True, exist_ok=True)
            if "projected" in volume:
                mount(path, files_of(rendered, maker))
            else:
                # As with `fsGroup`: root's, and the group may write.
                os.chown(path, 0, security["fsGroup"])
                path.chmod(0o2775)
            self._volumes[volume["name"]] = path

    def volume(self, name: str) -> Path:
        """Where it is on this machine."""
        return self._volumes[name]

    def begin(self) -> list[str]:
        """The containers that begin have ended well; what each has said."""
        return [self._run(container) for container in self._spec["initContainers"]]

    def work(self) -> str:
        """The one container has ended well, and said this."""
        return self._run(self._spec["containers"][0])

    def start(self, log: Path) -> "subprocess.Popen[str]":
        """The one container runs, and writes its log."""
        with log.open("w") as file:
            return self._popen(self._spec["containers"][0], stdout=file, stderr=file)

    def _run(self, container: Object) -> str:
        process = self._popen(container, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate()
        assert process.returncode == 0, f"{container['name']}: exit code {process.returncode}\n{output}"
        return output

    def _popen(self, container: Object, **options: Any) -> "subprocess.Popen[str]":
        env = dict(FINAL.env)
        for variable in container.get("env", []):
            value = variable.get("value")
            if value is None:
                assert variable["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
                value = self._name
            env[variable["name"]] = value
        volumes = [
            ("ro" if mounted.get("readOnly") else "rw", self._volumes[mounted["name"]], mounted["mountPath"])
            for mounted in container["volumeMounts"]
        ]
        command = container.get("command") or ["detector", *container["args"]]
        return self._image.popen(command, env, volumes, self._user, **options)


def end(process: "subprocess.Popen[str]", how: int) -> int:
    """Process 1 gets the signal; its exit code, or an error where it does not end in time."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), how)
    try:
        return process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def stop_signal() -> int:
    """What the image says that a runtime sends."""
    return signal.Signals[FINAL.last("STOPSIGNAL")]
