"""A light record is what a dataclass is."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pytest

from postino import light
from postino.light import dataclass, field

TWINS = [(light.dataclass, light.field), (dataclasses.dataclass, dataclasses.field)]


def made(dataclass, field, slots):
    @dataclass(frozen=True, slots=slots)
    class Thing:
        """A thing."""

        x: int
        y: str = "a"
        z: dict[str, int] = field(default_factory=dict)
        kind: ClassVar[str] = "thing"

        @property
        def twice(self) -> int:
            return 2 * self.x

    return Thing


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize("twin", TWINS, ids=["light", "dataclasses"])
def test_it_makes_what_dataclasses_makes(twin, slots: bool) -> None:
    kind = made(*twin, slots)
    thing = kind(1, z={"a": 2})

    assert (thing.x, thing.y, thing.z, thing.twice, kind.kind, kind.__doc__) == (
        1,
        "a",
        {"a": 2},
        2,
        "thing",
        "A thing.",
    )
    assert thing == kind(x=1, y="a", z={"a": 2}) != kind(2)
    assert thing != (1, "a", {"a": 2})
    assert kind(1).z is not kind(1).z
    assert repr(thing).endswith("Thing(x=1, y='a', z={'a': 2})")
    assert hasattr(thing, "__dict__") is not slots
    for change in (lambda: setattr(thing, "x", 2), lambda: delattr(thing, "x")):
        with pytest.raises(AttributeError, match="x"):
            change()
    for wrong in (lambda: kind(), lambda: kind(1, "a", {}, 4), lambda: kind(1, x=1), lambda: kind(1, w=1)):
        with pytest.raises(TypeError):
            wrong()
    assert dataclasses.is_dataclass(thing)
    assert dataclasses.replace(thing, x=3) == kind(3, z={"a": 2})
    assert dataclasses.asdict(thing) == {"x": 1, "y": "a", "z": {"a": 2}}
    assert [each.name for each in dataclasses.fields(kind)] == ["x", "y", "z"]


def test_its_own_functions_do_what_those_of_dataclasses_do() -> None:
    thing = made(*TWINS[0], True)(1, z={"a": 2})

    assert light.asdict(thing) == dataclasses.asdict(thing)
    assert light.replace(thing, x=3, y="b") == dataclasses.replace(thing, x=3, y="b")
    with pytest.raises(TypeError):
        light.replace(thing, w=1)


def test_a_record_can_be_a_key() -> None:
    @dataclass(frozen=True, slots=True)
    class Key:
        x: int

    assert {Key(1): "one"}[Key(1)] == "one"


def test_its_own_methods_stay() -> None:
    @dataclass(frozen=True)
    class Quiet:
        secret: str
        also: list[str] = field(default_factory=list)

        def __repr__(self) -> str:
            return "Quiet()"

    assert repr(Quiet("x")) == "Quiet()"


def test_one_that_can_change_is_refused() -> None:
    with pytest.raises(TypeError, match="frozen"):
        light.dataclass(frozen=False)
