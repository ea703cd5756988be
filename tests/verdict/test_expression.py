"""The language of conditions: what it means, and that nothing outside it runs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import ConfigError
from detector.verdict.expression import parse
from detector.verdict.facts import FACTS, GivenFacts


def holds(text: str, lists: tuple[str, ...] = (), **facts: Any) -> bool:
    """Whether the condition holds of one row."""
    return bool(parse(text, FACTS, ("bad", "good"), "here").mask(GivenFacts(facts, frozenset(lists)))[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("calls_out_24h > 3", True),
        ("calls_out_24h >= 4 and not own", False),
        ("calls_out_24h == 4 or own", True),
        ("1 < calls_out_24h <= 4", True),
        ("1 < calls_out_24h < 4", False),
        ("calls_out_24h / 2 + 1 - 3 * 1 == 0", True),
        ("-calls_out_24h < 0", True),
        ("calls_out_24h != 5", True),
        ("own", True),
        ('zone_class == "premium"', True),
        ('zone_class != "premium"', False),
        ('zone_class in ("satellite", "premium")', True),
        ('zone_class not in ("satellite", "premium")', False),
        ('in_list("bad") and not in_list("good")', True),
        ("known(calls_out_24h) and not known(margin)", True),
    ],
)
def test_conditions_mean_what_python_would_mean(text: str, expected: bool) -> None:
    """Of a row with four calls, one of our own, to a premium number, on the bad list."""
    assert expected == holds(text, ("bad",), calls_out_24h=4, own=True, zone_class="premium")


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
def test_an_unknown_value_makes_every_comparison_false(operator: str) -> None:
    """Also `!=`: what cannot be known is not known to differ."""
    assert not holds(f"talk_mean_24h {operator} 5")
    assert not holds(f"talk_mean_24h / 0 {operator} talk_mean_24h", talk_mean_24h=0.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"here: wanted an expression"),
        ("calls_out_24h >", r"here: wanted an expression \(got invalid syntax in 'calls_out_24h >'\)"),
        ("calls_out_24h", r"here: wanted a comparison of calls_out_24h \(got calls_out_24h\)"),
        ("calls_24h > 1", r"here: wanted a feature or fact that exists \(got calls_24h\)"),
        ("own > 1", r"here: wanted a number, which own is not \(got own\)"),
        ("1", r"here: wanted yes or no \(got 1\)"),
        ("margin and own", r"wanted a comparison of margin"),
        ("margin > 'high'", r"wanted a number \(got 'high'\)"),
        ("margin > True", r"wanted a number \(got True\)"),
        ("margin > 1e999 and margin > 1" + "0" * 400, r"wanted a number that fits a float"),
        ("margin in (1, 2)", r"wanted <, <=, >, >=, == or != \(got In\)"),
        ("margin ** 2 > 1", r"wanted a number \(got margin \*\* 2\)"),
        ('zone_class == "space"', r"wanted one of unknown, geographic, .* for zone_class \(got 'space'\)"),
        ('zone_class < "premium"', r"wanted ==, !=, in or not in \(got Lt\)"),
        ('zone_class in "premium"', r"wanted texts in brackets \(got 'premium'\)"),
        ('in_list("ugly")', r"wanted one of the lists bad, good \(got in_list\('ugly'\)\)"),
        ("in_list(own)", r"wanted known\(fact\) or in_list\(\"name\"\) \(got in_list\(own\)\)"),
        ("known(own)", r"wanted a number in known"),
        ("__import__('os').system('true')", r"wanted known\(fact\) or in_list"),
        ("(lambda: own)()", r"wanted known\(fact\)"),
        ("own if own else own", r"wanted yes or no \(got own if own else own\)"),
        ("[x for x in (1,)]", r"wanted yes or no"),
        ("own.real", r"wanted yes or no \(got own.real\)"),
        ("(y := margin) > 1", r"wanted a number"),
        ("own\x00", r"here: wanted an expression"),
    ],
)
def test_what_is_not_in_the_language_is_refused(text: str, message: str) -> None:
    """With place, wanted and got."""
    with pytest.raises(ConfigError, match=message):
        parse(text, FACTS, ("bad", "good"), "here")


@pytest.mark.parametrize("text", ["(" * 3_000 + "own" + ")" * 3_000, "not " * 5_000 + "own", "-" * 3_000 + "1 > 0"])
def test_endless_nesting_is_refused(text: str) -> None:
    """Instead of overflowing the stack."""
    with pytest.raises(ConfigError, match="here: wanted an expression"):
        parse(text, FACTS, (), "here")


@given(st.text(alphabet="ownmargi ()<>=!andortknw_lis\"'0123.+-*/,[]:", max_size=40))
def test_any_text_is_either_a_condition_or_refused(text: str) -> None:
    """Nothing else can come of it."""
    message = ""
    try:
        condition = parse(text, FACTS, ("bad",), "here")
    except ConfigError as error:
        message = str(error)
    assert message.startswith("here: wanted ") or condition.mask(GivenFacts({}, frozenset())).dtype == np.bool_


def test_names_are_those_that_the_condition_looks_at() -> None:
    """From them follows whether a row must be scored."""
    condition = parse('margin >= flag and (own or zone_class == "mobile")', FACTS, (), "here")
    assert {"margin", "flag", "own", "zone_class"} == condition.names
