"""The wheel holds all that postino needs, and runs where there is no checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from postino import __version__
from postino.paths import Home

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as users get it: built from the source distribution."""
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean environment with nothing but the wheel and what it asks for."""
    place = tmp_path_factory.mktemp("clean")
    venv.create(place)
    pip = [sys.executable, "-m", "pip", "--python", str(place), "install", "-q", "--no-compile", str(wheel)]
    subprocess.run(pip, check=True, capture_output=True)
    # for others pip compiles what a daemon imports, whose start has 15 s
    subprocess.run([place / "bin" / "python", "-I", "-c", "import postino.daemon.serve"], check=True)
    return place / "bin" / "postino"


@pytest.fixture
def env(home: Home) -> Iterator[dict[str, str]]:
    plain = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    yield plain | {"POSTINO_HOME": str(home.root), "POSTINO_WEB_PORT": "0"}


def test_the_wheel_carries_every_script_hook_and_page(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())

    for folder in ("lua", "plugin"):
        assert not [each for each in (ROOT / folder).rglob("*") if each.is_symlink()]  # not every client follows them
        for file in (each for each in (ROOT / folder).rglob("*") if each.is_file()):
            assert f"postino/_data/{file.relative_to(ROOT).as_posix()}" in names
    for file in (ROOT / "postino").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts and "_data" not in file.parts:
            assert f"postino/{file.relative_to(ROOT / 'postino').as_posix()}" in names


def test_an_installed_wheel_carries_a_message_without_the_checkout(installed: Path, env: dict[str, str]) -> None:
    def run(*words: str) -> str:
        done = subprocess.run([installed, *words], env=env, cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        assert __version__ in run("--version")
        assert "http://127.0.0.1:" in run("up")
        run("send", "bob", "from the wheel", "--from", "ci")
        assert [each["body"] for each in json.loads(run("read", "--agent", "bob", "--json"))["items"]] == [
            "from the wheel"
        ]
    finally:
        run("down")


def test_an_installed_wheel_offers_the_plugin(installed: Path, env: dict[str, str], tmp_path: Path) -> None:
    said = subprocess.run(
        [installed, "install", "--dry-run"], env=env, cwd="/", capture_output=True, text=True, check=True
    )
    market = Path(said.stdout.splitlines()[0].split()[-1])

    assert ROOT not in market.parents
    offered = json.loads((market / ".claude-plugin/marketplace.json").read_text())["plugins"][0]["source"]
    for file in (".claude-plugin/plugin.json", ".mcp.json", "hooks/hooks.json", "scripts/hook.sh"):
        assert (market / offered / file).is_file()
    client = os.environ.get("CLAUDE_BINARY") or shutil.which("claude")
    if client is not None:  # tests/hooks has the rest
        home = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        for words in (
            ["validate", str(market), "--strict"],
            ["marketplace", "add", str(market)],
            ["install", "postino@postino"],
        ):
            subprocess.run([client, "plugin", *words], env=home, cwd=tmp_path, check=True, capture_output=True)
