"""`topics`: our own topics as the configuration wants them, and the sources' where they are missing."""

import argparse

from detector.commands.common import Commands, add_command, add_config, open_kafka, out, settings_of


def add(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Declare the commands."""
    parser = commands.add_parser("topics", help="make or check the topics", description="Make or check the topics.")
    below = parser.add_subparsers(metavar="COMMAND", required=True)
    create = add_command(
        below,
        "create",
        _create,
        "make the topics that do not exist",
        "Existing ones are left as they are. The number of partitions is fixed for life.",
    )
    check = add_command(below, "check", _check, "say whether every topic is there with its number of partitions")
    for command in (create, check):
        add_config(command)


def _create(arguments: argparse.Namespace) -> int:
    from detector.broker.topics import check_topics, topic_specs

    settings = settings_of(arguments)
    specs = topic_specs(settings)
    with open_kafka(settings) as broker:
        made = set(broker.create(specs))
        for spec in specs:
            out(f"{spec.name}: {f'made with {spec.partitions} partitions' if spec.name in made else 'was there'}")
        check_topics(broker, settings)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from detector.broker.topics import check_topics

    settings = settings_of(arguments)
    with open_kafka(settings) as broker:
        check_topics(broker, settings)
    out("every topic is there")
    return 0
