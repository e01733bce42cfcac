"""How soon the terminal inbox asks again."""

from __future__ import annotations

import pytest

from postino.tui import pace
from postino.tui.pace import Pace


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(pace, "time", made)
    return made


def loaded(paced: Pace, clock: Clock, seconds: float) -> None:
    assert paced.begin() and not paced.begin()
    clock.now += seconds


def test_after_a_load_it_rests_for_four_times_as_long(clock: Clock) -> None:
    paced = Pace()
    loaded(paced, clock, 1.0)
    paced.end()

    assert not paced.begin()  # nothing has changed
    paced.change()
    clock.now += 3.9
    assert not paced.begin()
    clock.now += 0.2
    assert paced.begin()


@pytest.mark.parametrize("failed", [False, True])
def test_who_waits_does_not_wait_for_a_rest_also_when_a_load_was_under_way(clock: Clock, failed: bool) -> None:
    paced = Pace()
    loaded(paced, clock, 10.0)
    paced.hurry()  # the daemon is back, which that load waits for
    assert not paced.begin()
    paced.end(failed=failed)

    assert paced.begin()
    paced.end()
    paced.change()
    assert paced.begin()  # and that one took no time


def test_what_failed_is_tried_again_after_a_while(clock: Clock) -> None:
    paced = Pace()
    loaded(paced, clock, 0.1)
    paced.end(failed=True)

    assert not paced.begin()
    clock.now += pace.RETRY_S
    assert paced.begin()
