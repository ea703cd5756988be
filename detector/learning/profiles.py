"""The ways of life in the simulated country, honest all of them.

Shares and rates follow published aggregates (11 calls and messages a subscriber a day, most calls to
five numbers or fewer, talk of median 37 s and mean 77 s); the unusual honest lives that a detector
must leave alone are profiles of their own, at about the share in which they occur.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np


class Rhythm(IntEnum):
    """When a life happens."""

    SOCIAL = 0
    OFFICE = 1
    ROUND = 2
    EVENING = 3
    DELIVERY = 4
    WAKING = 5
    """As `SOCIAL`, with hardly anybody awake at night: over months the few night calls are what tells hours apart."""
    AFTER_WORK = 6
    MIDDAY = 7


def _hours(text: str) -> list[int]:
    return [int(digit) for digit in text]


RHYTHMS: Final = np.array(
    [
        _hours("310011245566666667898753"),
        _hours("000000014898578986310000"),
        _hours("544333445566666666666665"),
        _hours("000000000011111368996100"),
        _hours("000000038999877898631000"),
        [0.05, 0.02, 0.02, 0.01, 0.02, 0.03, 0.1, 0.5, 3.0, 7, 8, 8, 7, 6, 6.5, 7, 7, 8, 8, 7.5, 5, 1.5, 0.3, 0.1],
        _hours("000000000000000124899631"),
        _hours("000000000024688754210000"),
    ],
    dtype=np.float64,
)
"""Relative activity of each local hour, a line per `Rhythm`."""


class Home(IntEnum):
    """Where a number belongs."""

    MOBILE = 0
    FIXED = 1
    OTHER = 2
    FOREIGN = 3
    ROAMER = 4
    """A foreign subscriber in our cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A way of life. Rates are per day; medians are of the people, spreads in log units."""

    name: str
    share: float
    """Of the scenario's `numbers`."""
    home: Home = Home.MOBILE
    rhythm: Rhythm = Rhythm.SOCIAL
    calls: float = 2.2
    calls_spread: float = 1.15
    weekend: float = 0.9
    """Activity on Saturday and Sunday against other days."""
    contacts: float = 8
    """Median number of people that one knows; being known by others doubles it."""
    flat: bool = False
    """Contacts are called alike (a list), not by Zipf's law."""
    strangers: float = 0.06
    """Share of calls to people one does not know."""
    service: float = 0.05
    """Share of calls to hospitals, taxis, call centres and other hubs."""
    popularity: float = 0.0
    """Draw of this number as such a hub."""
    answered: float = 0.66
    cancelled: float = 0.11
    talk_s: float = 37
    chats: float = 0.16
    """Message conversations with people one knows."""
    chat_length: float = 3
    notes: float = 0.0
    """Single messages to strangers ("I am downstairs")."""
    notices: float = 0.0
    """Probability a working day of a message to every contact."""
    app_messages: float = 2.5
    cells: float = 4
    """Cells visited besides home and work."""
    lives: tuple[float, float] = (0.0, 0.0)
    """Share of the scenario's span in which the number comes alive; (0, 0) = before."""
    working_days: float = 1.0
    """Share of days on which it is active at all."""
    roaming: bool = False


PROFILES: Final = (
    Profile(name="private", share=0.848),
    Profile(name="chatty", share=0.02, chats=4, chat_length=9, contacts=5, calls=1.5),
    Profile(name="quiet", share=0.03, calls=0.4, contacts=4, chats=0.05, app_messages=1),
    Profile(
        name="small_business",
        share=0.012,
        rhythm=Rhythm.OFFICE,
        calls=14,
        strangers=0.35,
        weekend=0.3,
        contacts=25,
        popularity=1.0,
        talk_s=55,
        cells=6,
    ),
    Profile(
        name="courier",
        share=0.004,
        rhythm=Rhythm.DELIVERY,
        calls=60,
        calls_spread=0.45,
        strangers=0.93,
        weekend=0.6,
        answered=0.7,
        cancelled=0.14,
        talk_s=16,
        notes=8,
        cells=30,
        popularity=0.5,
    ),
    Profile(
        name="taxi",
        share=0.004,
        rhythm=Rhythm.ROUND,
        calls=28,
        calls_spread=0.5,
        strangers=0.75,
        weekend=1.2,
        answered=0.74,
        cancelled=0.18,
        talk_s=14,
        notes=1,
        cells=40,
        popularity=3.0,
    ),
    Profile(
        name="call_centre",
        share=0.0008,
        home=Home.FIXED,
        rhythm=Rhythm.OFFICE,
        calls=260,
        calls_spread=0.5,
        strangers=0.9,
        weekend=0.15,
        answered=0.48,
        cancelled=0.12,
        talk_s=70,
        chats=0,
        app_messages=0,
        cells=0,
        contacts=60,
        flat=True,
        popularity=60,
    ),
    Profile(
        name="reminder_line",
        share=0.0003,
        home=Home.FIXED,
        rhythm=Rhythm.OFFICE,
        calls=150,
        calls_spread=0.4,
        strangers=0.7,
        weekend=0,
        answered=0.6,
        cancelled=0.03,
        talk_s=12,
        chats=0,
        app_messages=0,
        cells=0,
        contacts=120,
        flat=True,
        popularity=8,
    ),
    Profile(
        name="hospital",
        share=0.0003,
        home=Home.FIXED,
        rhythm=Rhythm.ROUND,
        calls=180,
        calls_spread=0.4,
        strangers=0.65,
        weekend=0.6,
        answered=0.7,
        talk_s=75,
        chats=0,
        app_messages=0,
        cells=0,
        contacts=150,
        flat=True,
        popularity=250,
    ),
    Profile(
        name="office_line",
        share=0.006,
        home=Home.FIXED,
        rhythm=Rhythm.OFFICE,
        calls=16,
        calls_spread=0.7,
        strangers=0.3,
        weekend=0.05,
        contacts=30,
        talk_s=70,
        chats=0,
        app_messages=0,
        cells=0,
        popularity=2,
    ),
    Profile(
        name="school",
        share=0.0005,
        rhythm=Rhythm.OFFICE,
        calls=12,
        weekend=0.1,
        contacts=170,
        flat=True,
        notices=0.35,
        strangers=0.1,
        popularity=2,
        cells=0,
    ),
    Profile(
        name="club",
        share=0.0015,
        rhythm=Rhythm.EVENING,
        calls=5,
        contacts=40,
        flat=True,
        notices=0.25,
        chats=1,
        weekend=1.3,
    ),
    Profile(name="new_sim", share=0.012, contacts=9, lives=(0.2, 1.0), chats=0.6, app_messages=5),
    Profile(
        name="tourist_sim",
        share=0.006,
        calls=4,
        strangers=0.45,
        service=0.25,
        contacts=2,
        app_messages=0.6,
        chats=0.05,
        cells=12,
        lives=(0.2, 1.0),
    ),
    Profile(
        name="second_phone",
        share=0.006,
        calls=7,
        strangers=0.12,
        contacts=2,
        app_messages=0.3,
        chats=0.02,
        cells=0,
        lives=(0.2, 1.0),
    ),
    Profile(
        name="seller",
        share=0.003,
        rhythm=Rhythm.OFFICE,
        calls=22,
        calls_spread=0.7,
        strangers=0.8,
        contacts=4,
        app_messages=1,
        talk_s=60,
        weekend=0.5,
        cells=2,
        lives=(0.2, 1.0),
    ),
    Profile(name="second_hand", share=0.006, contacts=10, lives=(0.3, 1.0)),
    Profile(name="dual_sim", share=0.015, calls=1.2, contacts=3, chats=0.05, app_messages=2),
    Profile(name="traveller", share=0.004, calls=2.5, cells=15, roaming=True),
    Profile(
        name="roamer",
        share=0.004,
        home=Home.ROAMER,
        calls=5,
        strangers=0.5,
        service=0.3,
        contacts=2,
        cells=20,
        app_messages=1,
        chats=0.3,
    ),
    Profile(
        name="meter",
        share=0.008,
        rhythm=Rhythm.ROUND,
        calls=0,
        contacts=1,
        chats=4,
        chat_length=1,
        app_messages=0.1,
        cells=0,
        weekend=1,
    ),
    Profile(
        name="alarm",
        share=0.002,
        rhythm=Rhythm.ROUND,
        calls=3,
        calls_spread=1.2,
        contacts=3,
        answered=0.55,
        cancelled=0.2,
        talk_s=9,
        chats=1,
        chat_length=1,
        strangers=0,
        service=0,
        app_messages=0,
        cells=0,
        weekend=1,
    ),
    Profile(
        name="election_caller",
        share=0.001,
        rhythm=Rhythm.EVENING,
        calls=110,
        calls_spread=0.5,
        strangers=0.96,
        answered=0.42,
        cancelled=0.12,
        talk_s=22,
        weekend=1.3,
        working_days=0.35,
    ),
    Profile(
        name="surveyor",
        share=0.0006,
        rhythm=Rhythm.EVENING,
        calls=70,
        calls_spread=0.4,
        strangers=0.95,
        answered=0.4,
        cancelled=0.1,
        talk_s=45,
        weekend=0.4,
        working_days=0.8,
        cells=1,
    ),
    Profile(name="other_network", share=0.3, home=Home.OTHER, calls=1.5, calls_spread=1.1, contacts=3, strangers=0.08),
    Profile(
        name="other_network_desk",
        share=0.0006,
        home=Home.OTHER,
        rhythm=Rhythm.OFFICE,
        calls=90,
        calls_spread=0.7,
        strangers=0.85,
        answered=0.5,
        talk_s=60,
        chats=0,
        contacts=20,
        weekend=0.2,
        popularity=20,
    ),
    Profile(
        name="foreign",
        share=0.05,
        home=Home.FOREIGN,
        calls=0.7,
        calls_spread=1.1,
        contacts=2,
        strangers=0.06,
        talk_s=80,
        cancelled=0.2,
    ),
    Profile(
        name="foreign_desk",
        share=0.0004,
        home=Home.FOREIGN,
        rhythm=Rhythm.OFFICE,
        calls=60,
        calls_spread=0.7,
        strangers=0.85,
        answered=0.5,
        talk_s=60,
        chats=0,
        contacts=10,
        weekend=0.3,
        popularity=3,
    ),
)
"""Every way of life; an honest number's profile is reported beside any decision on it."""
