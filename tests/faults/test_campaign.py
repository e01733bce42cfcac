"""Campaigns of faults against real daemons, over HTTP and MCP, judged by the checker."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager

import pytest

from tests.faults import injected
from tests.faults.campaign import Campaign
from tests.faults.checker import figures, judge
from tests.faults.conftest import Plan
from tests.faults.history import History
from tests.faults.stage import Stage, describe, embedded_stage, shared_stage

pytestmark = pytest.mark.timeout(3600)
TIMED = ("late refusals",)  # reported; asserted in the long form only, which has the machine to itself
EVERY_S = 10.0  # between two restarts


async def test_every_promise_is_kept(plan: Plan) -> None:
    kinds = {"embedded": injected.EMBEDDED, "shared": injected.SHARED, "restarts": injected.RESTARTS}[plan.stage]
    made: AbstractAsyncContextManager[Stage] = shared_stage() if plan.stage == "shared" else embedded_stage()
    async with made as stage:
        async with Campaign(stage, plan.seed, kinds) as campaign:
            await campaign.ready()
            if plan.stage == "restarts":
                await campaign.every(EVERY_S, int(plan.seconds / EVERY_S))
            elif plan.seconds:
                await campaign.disturb(plan.seconds)
            else:
                await campaign.tour()
            history = await campaign.finish()
        found = verdict(history, campaign, stage, plan)
        judged = found.keys() - (() if plan.seconds else TIMED)
        assert {name: found[name] for name in judged} == {}


def verdict(history: History, campaign: Campaign, stage: Stage, plan: Plan) -> dict[str, list[str]]:
    """Judge; keep the figures, and of a failure the history. Print what is needed to repeat it."""
    found, counted = judge(history), figures(history)
    plan.into.mkdir(parents=True, exist_ok=True)
    (plan.into / f"{plan}.json").write_text(json.dumps(counted))
    print(f"{plan}: seed {plan.seed}, not possible here: {campaign.impossible or 'nothing'}")
    print(counted)
    if found:
        path = plan.into / f"{plan}.jsonl"
        history.write(path)
        print(f"history in {path}; {describe(stage.home)}")
    for name, cases in found.items():
        print(f"{name}: {len(cases)}", *cases[:10], sep="\n  ")
    return found
