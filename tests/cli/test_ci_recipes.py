"""docs/ci.md: every block runs as it stands, and prints what stands there; only address, token and build differ."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from tests.blocks import ROOT, Block, blocks

BLOCKS = blocks(ROOT / "docs/ci.md")
LINES = 300
VARIABLES = {
    "GITHUB_RUN_ID": "7",
    "GITHUB_RUN_ATTEMPT": "1",
    "CI_PIPELINE_ID": "8",
    "CI_COMMIT_REF_NAME": "main",
    "CI_PIPELINE_URL": "https://gitlab.example/8",
}

pytestmark = pytest.mark.skipif(not (shutil.which("jq") and shutil.which("curl")), reason="jq or curl is missing")


@pytest.fixture(scope="module")
def place(postino: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A directory with a build that fails loudly, and the environment of its jobs."""
    folder = tmp_path_factory.mktemp("ci")
    programs = folder / "home" / ".local" / "bin"
    programs.mkdir(parents=True)
    (folder / "home" / "src" / "app").mkdir(parents=True)
    loud = (
        f"for n in $(seq {LINES}); do printf '\\033[32mline %s\\033[0m: it'\"'\"'s \"%s\"\\n' $n 'ü 100%'; done; exit 1"
    )
    for name, script in (("make", loud), ("postino", f'exec "{sys.executable}" -m postino "$@"')):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    (folder / "build.log").write_text("".join(f"line {number}\n" for number in range(LINES)))
    alert = {"status": "firing", "annotations": {"summary": "the deployment failed: https://ci.example/8"}}
    (folder / "alert.json").write_text(json.dumps({"alerts": [alert]}))
    url = postino.json("status")["url"]
    token = postino.ok("token", "create", "ci", "--role", "publish").strip()
    env = postino.env | VARIABLES | {"MAIL_URL": url, "MAIL_TOKEN": token, "HOME": str(folder / "home")}
    return folder, env | {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}


def run(place: Any, script: str) -> subprocess.CompletedProcess[str]:
    folder, env = place
    script = script.replace("localhost:3333", env["MAIL_URL"].removeprefix("http://"))
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def delivered(postino: Any) -> list[Any]:
    return list(postino.json("read", "builder")["items"])


def shell_of(block: str) -> str:
    """Return the script in a YAML block."""
    found = re.search(r"^( *)(?:- |run: )\|\n((?:\1 +.*\n|\n)+)", block, re.MULTILINE)
    assert found, block
    return textwrap.dedent(found[2])


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.kind == "console"])
def test_a_console_block_prints_what_stands_there(postino: Any, place: Any, block: Block) -> None:
    for command, shown in block.commands():
        done = run(place, command)
        assert done.returncode == 0, done
        expected = re.escape(shown.rstrip("\n")).replace(r"\.\.\.", ".*")
        assert re.match(expected, done.stdout, re.DOTALL), done
        if "token create" not in command:
            (message,) = delivered(postino)
            assert "line 299" in message["body"]
            assert (message["from"], "\x1b" in message["body"]) == ("ci", False)


@pytest.mark.parametrize("block", [each.text for each in BLOCKS if each.kind in ("sh", "yaml", "crontab")])
def test_a_script_delivers_one_message(postino: Any, place: Any, block: str) -> None:
    if "MAIL_TOKEN" in block:
        run(place, shell_of(block))  # the repeat is stored once
        script = shell_of(block)
    else:
        script = block.split(" ", 5)[5] if block[0].isdigit() else block
    done = run(place, script)

    (message,) = delivered(postino)
    assert done.stderr == "", done
    assert message["verified"] == ("MAIL_TOKEN" in block)
    assert message["from"] == ("nightly" if "nightly" in block else "ci")
    assert re.search(r"line 299|failed: https", message["body"])
    assert len(message["body"]) < 32_768
    assert (done.returncode != 0) == ("exit 1" in block)


def test_every_block_is_run_but_the_address_for_apprise() -> None:
    assert [each.text[:7] for each in BLOCKS if not each.kind] == ["json://"]
    assert {each.kind for each in BLOCKS} == {"console", "sh", "yaml", "crontab", ""}
