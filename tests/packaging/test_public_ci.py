"""The workflow for public CI and the hooks of pre-commit: they parse, and run what .ci/run runs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CI = (ROOT / ".ci/run").read_text()
yaml = pytest.importorskip("yaml", reason="PyYAML is missing: pip install -e '.[test]'")


def parsed(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_public_ci_runs_the_whole_proof_on_linux_and_the_suite_on_macos() -> None:
    workflow = parsed(".github/workflows/test.yml")
    steps = {name: [step.get("run") for step in job["steps"]] for name, job in workflow["jobs"].items()}

    assert set(workflow[True]) == {"push", "pull_request"}  # YAML 1.1 takes `on` for true
    assert steps["linux"] == [None, ".ci/run"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert steps["macos"][-1] == "pytest"
    assert workflow["jobs"]["macos"]["runs-on"].startswith("macos")
    assert all(0 < job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())


def test_the_hooks_before_a_commit_run_the_lint_of_ci() -> None:
    (local,) = parsed(".pre-commit-config.yaml")["repos"]
    found = re.search(r"^lint_and_types\(\) \{\n(.*?)^\}", CI, re.MULTILINE | re.DOTALL)
    assert found
    lint = [line for line in found[1].replace("  ", "").splitlines() if line != "in_environment"]

    assert local["repo"] == "local"
    assert [hook["entry"] for hook in local["hooks"]] == lint
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
