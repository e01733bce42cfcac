"""300 clients that never finish what they begin, beside the owner's calls."""

from __future__ import annotations

import statistics

from bench.attacked import attackers, measured
from bench.attackers import CONNECTIONS
from tests.attacks import attacked, no_failure_in
from tests.daemons import Daemon


def test_slow_clients_do_not_hold_up_the_owner(daemon: Daemon) -> None:
    alone = measured(daemon.port, daemon.home.root, 2)
    with attackers(daemon.port, daemon.home.root, "slow"):
        beside = measured(daemon.port, daemon.home.root, 4)  # a call that fails raises

    for name, times in beside.items():
        # the figures of a quiet machine stand in SECURITY.md; here others use it too
        assert statistics.median(times) < 20 * statistics.median(alone[name]) + 0.05, name
        assert max(times) < 5, name
    no_failure_in(daemon.home.log)
    attacked("Clients that never end: slow heads, stalled bodies, silent ones, at once", CONNECTIONS)
