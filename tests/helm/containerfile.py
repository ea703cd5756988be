"""The Containerfile as data: its stages, and what each step of them says."""

import shlex
from dataclasses import dataclass, field
from typing import Final

from detector.config import ROOT

TEXT: Final = (ROOT / "Containerfile").read_text(encoding="utf-8")
KEYWORDS: Final = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "RUN", "STOPSIGNAL", "USER", "WORKDIR",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction: its keyword, and the rest of its line."""

    keyword: str
    rest: str


@dataclass(frozen=True, slots=True)
class Stage:
    """From a FROM to the next."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)

    def of(self, keyword: str) -> list[str]:
        """What all steps with that keyword say."""
        return [step.rest for step in self.steps if step.keyword == keyword]

    def last(self, keyword: str) -> str:
        """What holds in the end."""
        return self.of(keyword)[-1]

    @property
    def env(self) -> dict[str, str]:
        """The variables that are set, with the stage's arguments in them."""
        given = dict(line.split("=", 1) for line in self.of("ARG") if "=" in line)
        found: dict[str, str] = {}
        for line in self.of("ENV"):
            for pair in shlex.split(line):
                name, value = pair.split("=", 1)
                for argument, default in given.items():
                    value = value.replace(f"${{{argument}}}", default)
                found[name] = value
        return found


def stages(text: str = TEXT) -> list[Stage]:
    """All stages, in order; a `ValueError` where a line is none of the instructions that are known here."""
    found: list[Stage] = []
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        keyword, _, rest = line.partition(" ")
        if keyword not in KEYWORDS:
            raise ValueError(f"wanted an instruction (got {line!r})")
        if keyword == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(name, base))
        elif found:
            found[-1].steps.append(Step(keyword, rest))
    return found


BUILD, FINAL = stages()
