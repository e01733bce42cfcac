"""Failovers under Sentinel and in a cluster, judged by the checker: nothing accepted is lost or doubled.

The short form has each kind of fault once; the long one (`--faults=long`) as many as the docs give figures of.
"""

from __future__ import annotations

import statistics

import pytest

from postino.paths import Home
from tests.faults import failovers, timeline
from tests.faults.failovers import Load, load_on
from tests.nodes import CLI, DOWN_AFTER_MS, Node, cluster, watched

pytestmark = pytest.mark.timeout(1800)
DOWN_S = DOWN_AFTER_MS / 1000
MOST = 20_000  # messages that the long form has accepted in each of its three runs


def counts(request: pytest.FixtureRequest, short: tuple[int, ...], long: tuple[int, ...]) -> tuple[int, ...]:
    """Return how often each kind of fault comes."""
    return long if request.config.getoption("--faults") == "long" else short


def wanted(request: pytest.FixtureRequest) -> int:
    """Return how many messages have to be accepted."""
    return MOST if request.config.getoption("--faults") == "long" else 0


def report(what: str, load: Load, nodes: dict[str, Node], **seconds: list[float]) -> None:
    """Print the figures of a run, and of the slowest fault of each kind what the servers' logs tell."""
    print(f"{what}: {load.figures()}, seconds without an accepted message:")
    for name, values in seconds.items():
        if values:
            outages = [round(each, 2) for each in sorted(values)]
            print(f"  {name}: median {statistics.median(values):.2f}, worst {max(values):.2f}, all {outages}")
            slowest = next(each for each in load.outages if each.seconds == max(values))
            print(*(f"    {each}" for each in timeline.lines(nodes, slowest.began, slowest.ended)), sep="\n")
    for case in load.told().get("lost", [])[:3]:
        print(case, *load.tries_of(case), sep="\n  ")


@pytest.mark.parametrize("replicas", [2, 1], ids=["two replicas", "one replica"])
async def test_what_a_replica_confirmed_outlasts_every_failover(
    request: pytest.FixtureRequest, home: Home, replicas: int
) -> None:
    kills, plans, freezes = counts(request, (1, 1, 0), (10, 5, 3))
    with watched(replicas) as servers:
        async with load_on(servers.url, home, 1) as load, load.running():
            killed = [await failovers.kill(servers, load) for _ in range(kills)]
            moved = [await failovers.planned(servers, load) for _ in range(plans)]
            frozen = [await failovers.freeze(servers, load) for _ in range(freezes)]
            await load.until_accepted(wanted(request))
        named = dict(zip(("first", "second", "third"), servers.nodes, strict=False))
        named |= {f"Sentinel {at}": each for at, each in enumerate(servers.sentinels, 1)}
        report(f"one primary, {replicas} replicas", load, named, killed=killed, planned=moved, frozen=frozen)
        by_sentinels = servers.converted()

    assert load.told() == {}
    assert load.durabilities == {"replicated"}
    if CLI is not None:  # the script has done it; Sentinels would have done it each time
        assert by_sentinels < kills + plans
    if kills > 1 and (replicas == 2 or CLI is not None):  # the long form has a machine alone
        assert statistics.median(killed) < DOWN_S + 2
        assert statistics.median(moved) < DOWN_S + 2


async def test_without_the_fence_a_failover_loses_accepted_mail_and_the_checker_finds_it(home: Home) -> None:
    with watched(2) as servers:
        async with load_on(servers.url, home, 0) as load, load.running():
            await failovers.planned(servers, load)
        report("without the fence", load, {})

    assert "lost" in load.told()


async def test_a_cluster_keeps_what_it_accepted_while_its_slot_moves(
    request: pytest.FixtureRequest, home: Home
) -> None:
    kills, plans, moves = counts(request, (1, 1, 1), (5, 5, 5))
    with cluster() as servers:
        async with load_on(servers.url, home, 1) as load, load.running():
            moved = [await failovers.migrate(servers, load) for _ in range(moves)]
            by_keys = [await failovers.migrate_by_keys(servers, load) for _ in range(moves)]
            planned = [await failovers.fail_over_owner(servers, load) for _ in range(plans)]
            killed = [await failovers.kill_owner(servers, load) for _ in range(kills)]
            await load.until_accepted(wanted(request))
        named = {f"node {at}": each for at, each in enumerate(servers.nodes, 1)}
        report(
            "cluster of three and three", load, named, migrated=moved, by_keys=by_keys, planned=planned, killed=killed
        )

    assert load.told() == {}
    assert load.durabilities == {"replicated"}
