"""From the call of msg_ask to the model's request that holds the reply, of an idle Claude Code that is woken by it.

Both sessions are real clients with a scripted model on loopback, which answers at once: what is left is the wake of one
session, its turn, and the way back. The client is $CLAUDE_BINARY, or `claude` on PATH.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics

from bench.table import Rows
from tests.hooks.asking import Asking
from tests.hooks.conftest import scratch_machine
from tests.hooks.machine import TOOL, TOOLS
from tests.hooks.model import Model
from tests.scripted.model import serving

ROUNDS = 20
REST_S = 5.0  # between two questions: the seventh wake within 30 s would wait
ALLOWED = f"{TOOLS},{TOOL}ask"


def run(seconds: float) -> Rows:
    """Ask ROUNDS questions; `seconds` means nothing here."""
    if not (os.environ.get("CLAUDE_BINARY") or shutil.which("claude")):
        return []
    return asyncio.run(_run())


async def _run() -> Rows:
    asking = Asking()
    async with serving(Model()) as model:
        with scratch_machine(model) as machine:
            machine.install_anew()
            machine.postino("up")
            model.script(*[asking.step] * (ROUNDS * 6))
            bob = await machine.open(POSTINO_AGENT_NAME="bob", allowed=ALLOWED)
            ann = await machine.open(POSTINO_AGENT_NAME="ann", allowed=ALLOWED)
            for asking.number in range(ROUNDS):
                await ann.prompt(f"ask bob, {asking.number}")
                await asyncio.sleep(REST_S)
            await asyncio.gather(ann.kill(), bob.kill())
    taken = [at - asking.asked_at[number] for number, at in asking.replied_at.items()]
    return [
        {
            "what": "Claude Code: msg_ask to the request with the reply of a woken session",
            "p50 s": round(statistics.median(taken), 3),
            "worst s": round(max(taken), 3),
            "rounds": len(taken),
        }
    ]
