"""`token`: a new token for the admin port, and its line for the file of `admin.tokens`."""

import argparse

from detector.commands.common import Commands, add_command, out, say


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "token",
        _token,
        "make a token for the admin port",
        "Prints the line for the file that admin.tokens names; the token itself, shown this once, goes to stderr.\n"
        "Who is struck off the file is out within two seconds. A browser asks for a name and a password: the\n"
        "password is the token.",
    )
    parser.add_argument("name", metavar="NAME", help="who: stands as the actor in what they order")
    parser.add_argument("role", choices=("viewer", "analyst", "operator"))


def _token(arguments: argparse.Namespace) -> int:
    import msgspec

    from detector.admin.tokens import Entry, new_token
    from detector.config import convert

    token, digest = new_token()
    entry = convert({"name": arguments.name, "role": arguments.role, "sha256": digest}, Entry, "token")
    say(f"token of {entry.name}, shown this once: {token}")
    out(f"- {msgspec.json.encode(entry).decode()}")
    return 0
