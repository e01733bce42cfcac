"""Campaigns of faults against a real daemon, over HTTP and MCP, judged by the checker."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.faults import injected
from tests.faults.campaign import Campaign
from tests.faults.checker import figures, judge
from tests.faults.history import History
from tests.faults.stage import Stage, embedded_stage, shared_stage

KEPT = Path(os.environ.get("FAULTS_KEEP", "/tmp"))


def verdict(history: History, campaign: Campaign, stage: Stage) -> dict[str, list[str]]:
    """Judge; keep the history of a failure, and print what is needed to repeat it."""
    found = judge(history)
    path = KEPT / f"faults-{stage.kind}-{campaign.seed}.jsonl"
    history.write(path)
    print(f"seed {campaign.seed}, history in {path}, impossible here: {campaign.impossible}")
    print(json.dumps(figures(history)))
    for name, cases in found.items():
        print(f"{name}: {len(cases)}", *cases[:10], sep="\n  ")
    return found


SEED = int(os.environ.get("FAULTS_SEED", "1"))
SECONDS = float(os.environ.get("FAULTS_SECONDS", "15"))


@pytest.mark.timeout(600)
async def test_nothing_is_lost_with_the_embedded_valkey() -> None:
    async with embedded_stage() as stage:
        async with Campaign(stage, SEED, injected.EMBEDDED) as campaign:
            await campaign.ready()
            await campaign.disturb(SECONDS)
            history = await campaign.finish()
        assert verdict(history, campaign, stage) == {}


@pytest.mark.timeout(600)
async def test_nothing_is_lost_with_two_daemons_on_one_valkey() -> None:
    async with shared_stage() as stage:
        async with Campaign(stage, SEED, injected.SHARED) as campaign:
            await campaign.ready()
            await campaign.disturb(SECONDS)
            history = await campaign.finish()
        assert verdict(history, campaign, stage) == {}
