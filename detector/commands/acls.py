"""`acls`: what each user of the deployment must be allowed on Kafka, and nothing more."""

import argparse
from typing import Final

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, settings_of
from detector.errors import ConfigError

TOOL: Final = "kafka-acls.sh --bootstrap-server {servers} --command-config admin.properties"


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "acls",
        _acls,
        "print, or set, the access control list that the deployment needs on Kafka",
        "Prints a call of kafka-acls.sh for each thing that a user may do something to. --apply adds them by itself,\n"
        "as the user of the configuration, who must be allowed to alter the cluster; it takes none away.",
    )
    add_config(parser)
    parser.add_argument(
        "--principal",
        action="append",
        default=[],
        metavar="WHO=NAME",
        help="the broker's name of a user, e.g. ingest=User:CN=ingest; may be given again (default: User:<group>-WHO)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--apply", action="store_true", help="add them to the broker's list")
    how.add_argument("--markdown", action="store_true", help="print them as a table for people")


def _acls(arguments: argparse.Namespace) -> int:
    from detector.broker.access import access_markdown, bindings, command_lines, principals

    settings = settings_of(arguments)
    if arguments.markdown:
        out(access_markdown(settings))
        return 0
    names = principals(settings, _given(arguments.principal))
    if arguments.apply:
        from detector.broker.kafka import KafkaBroker

        wanted = bindings(settings, names)
        with open_kafka(settings) as broker:
            assert isinstance(broker, KafkaBroker)
            broker.allow(wanted)
        out(f"{len(wanted)} entries are in the broker's list")
        return 0
    tool = TOOL.format(servers=settings.kafka.get("bootstrap.servers", ""))
    for line in command_lines(settings, names):
        out(f"{tool} {line}")
    return 0


def _given(texts: list[str]) -> dict[str, str]:
    """`ingest=User:CN=ingest` taken apart; `ConfigError` for others."""
    from detector.broker.access import WHO

    given = {}
    for text in texts:
        who, _, name = text.partition("=")
        if who not in WHO or ":" not in name:
            raise ConfigError(f"--principal: wanted one of {', '.join(WHO)}, = and Type:name (got {text})")
        given[who] = name
    return given
