"""What the campaigns must find: daemons broken on purpose, each in one way, and the promise that each breaks."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.faults import injected
from tests.faults.broken import VARIANTS
from tests.faults.campaign import Campaign
from tests.faults.checker import judge
from tests.faults.history import History
from tests.faults.stage import SharedStage, shared_stage, shim

SECONDS = 4.0
SEED = 11
PATIENCE_S = 6.0  # at the end, for what is still to come
SHORT_S = 2.0  # for a variant with which the agent never finishes
pytestmark = pytest.mark.timeout(180)


class CutSends(injected.CutReplies):
    """Loses replies to sends of one sender: their bodies begin with its name and a blank."""

    hold = (0.3, 0.3)
    of = b"http-0 "

    async def inject(self) -> None:
        self.proxy = self.stage.proxies[0]
        self.proxy.lose = self.of


class CutReads(CutSends):
    """Loses replies to what one reader asks: reads and acknowledgements, by turns."""

    of = b"reader-a-"


#: what is broken, under which faults, and the promises that it breaks
CONTROLS: list[tuple[str, list[type[injected.Fault]], set[str]]] = [
    ("no_look_up", [CutSends], {"stored twice"}),
    ("new_before_old", [injected.DropListener], {"order"}),
    ("acknowledges_at_once", [CutReads], {"acknowledged unseen"}),
    ("acknowledges_an_error", [injected.DropListener], {"acknowledged unseen"}),
    ("prolongs_the_unshown", [injected.DropListener], {"overtaken", "stuck"}),
]


@contextlib.asynccontextmanager
async def broken(variant: str) -> AsyncIterator[SharedStage]:
    """A stage whose one daemon is broken."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.faults.broken", variant] if variant else None
    async with shared_stage(command, count=1, PYTHONPATH=str(root)) as stage:
        yield stage


async def found(
    stage: SharedStage, kinds: Sequence[type[injected.Fault]], patience_s: float = PATIENCE_S
) -> dict[str, list[str]]:
    """Run a short campaign; return what the checker found."""
    async with Campaign(stage, SEED, kinds, agents=("ada",), quiet=0.0, patience_s=patience_s) as campaign:
        await campaign.ready()
        await campaign.disturb(SECONDS)
        history: History = await campaign.finish()
    return judge(history)


@pytest.mark.parametrize(("variant", "kinds", "promises"), CONTROLS, ids=[each[0] for each in CONTROLS])
async def test_a_daemon_broken_on_purpose_is_found(
    variant: str, kinds: list[type[injected.Fault]], promises: set[str]
) -> None:
    async with broken(variant) as stage:
        assert promises <= set(await found(stage, kinds, SHORT_S if variant == "no_look_up" else PATIENCE_S))


async def test_an_answer_before_the_fsync_is_found_as_loss() -> None:
    if shim() is None:
        pytest.skip("no C compiler for a slow fsync")

    class KillWithSlowFsync(injected.KillValkey):
        async def heal(self) -> None:
            await super().heal()
            self.run.stage.server.ask("CONFIG", "SET", "appendfsync", "everysec")  # type: ignore[attr-defined]

    async with broken("") as stage:
        stage.server.ask("CONFIG", "SET", "appendfsync", "everysec")
        stage.server.steer(fsync_ms=900)
        assert "lost" in await found(stage, [KillWithSlowFsync])


def test_every_variant_is_tried() -> None:
    assert {variant for variant, _, _ in CONTROLS} == set(VARIANTS)
