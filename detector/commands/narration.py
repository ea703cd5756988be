"""A log to read: headings, remarks, and commands as they are typed."""

from detector.commands.common import out
from detector.errors import Fatal


def head(text: str) -> None:
    """What begins here."""
    out(f"\n== {text} ==")


def tell(text: str) -> None:
    """What was seen or done beside the commands."""
    out(f"# {text}")


def typed(*argv: object, wanted: int | None = 0) -> int:
    """A command, as it is typed, and what it says; `Fatal` where it does not exit as `wanted`."""
    from detector.cli import main

    texts = [str(part) for part in argv]
    out("$ detector " + " ".join(texts))
    code = main(texts)
    if wanted is not None and code != wanted:
        raise Fatal(f"detector {texts[0]}: exit code {code}")
    return code
