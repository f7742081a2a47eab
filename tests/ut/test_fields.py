# SPDX-License-Identifier: Apache-2.0
"""Dataclasses from mappings and back: every kind of field, at its limits, with its message."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Optional, Tuple

import pytest

from mindface_eri.errors import ConfigError
from mindface_eri.fields import from_dict, listed, number, one_of, to_dict


@dataclass(frozen=True)
class Wheel:
    """A part."""

    spokes: int = number(8, 3, 12)
    rim: str = one_of("steel", "wood", "air")


@dataclass(frozen=True)
class Cart:
    """One field of every kind."""

    wheel: Wheel = field(default_factory=Wheel)
    speed: float = number(1.5, 0.25, 4.0)
    load: float = number(0.0, 0.0)
    seats: int = 2
    name: str = "cart"
    covered: bool = False
    owner: Optional[str] = None
    colours: Tuple[str, ...] = ("red", "blue")
    gears: Tuple[int, ...] = listed(low=1, high=9)
    ratios: Tuple[float, ...] = listed()


def test_there_and_back():
    tree = {"wheel": {"spokes": 5, "rim": "air"}, "speed": 2.5, "load": 1.0, "seats": 3, "name": "x", "covered": True,
            "owner": "me", "colours": ["green"], "gears": [1, 9], "ratios": [0.5, -2.0]}
    cart = from_dict(Cart, tree)
    assert cart == Cart(Wheel(5, "air"), 2.5, 1.0, 3, "x", True, "me", ("green",), (1, 9), (0.5, -2.0))
    assert to_dict(cart) == tree and isinstance(to_dict(cart)["colours"], list)
    assert to_dict(Cart()) == {
        "wheel": {"spokes": 8, "rim": "steel"}, "speed": 1.5, "load": 0.0, "seats": 2, "name": "cart", "covered": False,
        "owner": None, "colours": ["red", "blue"], "gears": [], "ratios": []}
    assert from_dict(Cart, {}) == from_dict(Cart, {"wheel": None}) == from_dict(Cart, {"wheel": {}}) == Cart()


@pytest.mark.parametrize("key, value, expected", [
    ("speed", "1e0", 1.0), ("speed", 3, 3.0), ("speed", 0.25, 0.25), ("speed", 4.0, 4.0), ("load", "1e3", 1000.0),
    ("load", 1e300, 1e300), ("seats", "7", 7), ("seats", 4.0, 4), ("seats", -(2**62) - 1, -(2**62) - 1),
    ("owner", None, None), ("owner", "", ""), ("covered", True, True), ("gears", ("2", 3.0), (2, 3)),
    ("gears", [], ()), ("ratios", [], ()), ("ratios", [1, "2e1"], (1.0, 20.0)), ("name", "12", "12"),
    ("seats", "1e2", 100)])
def test_values_are_brought_to_their_type(key, value, expected):
    got = getattr(from_dict(Cart, {key: value}), key)
    assert got == expected and type(got) is type(expected)
    if isinstance(got, tuple):
        assert [type(item) for item in got] == [type(item) for item in expected]


@pytest.mark.parametrize("tree, message", [
    ({"speed": 0.24}, "speed: 0.24 is outside [0.25, 4.0]"), ({"speed": 4.01}, "speed: 4.01 is outside [0.25, 4.0]"),
    ({"load": -0.1}, "load: -0.1 is outside [0.0, inf]"), ({"load": math.inf}, "load: inf is outside [0.0, inf]"),
    ({"load": math.nan}, "load: nan is outside [0.0, inf]"), ({"speed": "quick"}, "speed: expected float, got 'quick'"),
    ({"speed": True}, "speed: expected float, got True"), ({"speed": None}, "speed: expected float, got None"),
    ({"speed": [1]}, "speed: expected float, got [1]"), ({"seats": 2.5}, "seats: expected int, got 2.5"),
    ({"seats": False}, "seats: expected int, got False"), ({"seats": 10**400}, "seats: expected int, got 1000"),
    ({"seats": math.nan}, "seats: expected int, got nan"), ({"name": 5}, "name: expected str, got 5"),
    ({"covered": 1}, "covered: expected bool, got 1"), ({"covered": "yes"}, "covered: expected bool, got 'yes'"),
    ({"owner": 3}, "owner: expected str, got 3"), ({"colours": "red"}, "colours: expected a list of at least one"),
    ({"colours": []}, "colours: expected a list of at least one value, got []"),
    ({"colours": None}, "colours: expected a list of at least one value, got None"),
    ({"colours": ["red", 3]}, "colours[1]: expected str, got 3"), ({"gears": 4}, "gears: expected a list"),
    ({"gears": [3, 0]}, "gears[1]: 0 is outside [1, 9]"), ({"gears": [10]}, "gears[0]: 10 is outside [1, 9]"),
    ({"gears": None}, "gears: expected a list"), ({"wheel": {"spokes": 13}}, "wheel.spokes: 13 is outside [3, 12]"),
    ({"wheel": {"rim": "Wood"}}, "wheel.rim: 'Wood' is not one of steel, wood, air"),
    ({"wheel": 4}, "wheel: expected a mapping of keys, got 4"),
    ({"wheel": {"rime": 1}}, "unknown key 'wheel.rime'; did you mean 'rim'?"),
    ({"zzz": 1}, "unknown key 'zzz'; known keys: wheel, speed, load, seats, name, covered, owner, colours, gears, "
                 "ratios"), ({7: 1}, "unknown key '7'; known keys"), ("cart", "the recipe: expected a mapping of keys"),
    ([1], "the recipe: expected a mapping of keys, got [1]")])
def test_refused_with_the_key_the_value_and_the_limit(tree, message):
    with pytest.raises(ConfigError) as caught:
        from_dict(Cart, tree)
    assert str(caught.value).startswith(message)


def test_the_place_of_a_part_is_named():
    with pytest.raises(ConfigError, match=r"^cart: expected a mapping of keys, got 3$"):
        from_dict(Cart, 3, "cart")
    with pytest.raises(ConfigError, match=r"^unknown key 'cart.sped'; did you mean 'speed'\?$"):
        from_dict(Cart, {"sped": 1}, "cart")
