"""Lighthouse's scores of the page, each view and theme, as a desktop and as a phone.

LIGHTHOUSE names its command (`npm install lighthouse`), which starts Debian's Chromium; each run takes ten seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.stack import daemon
from bench.table import Rows

MESSAGES, AGENTS = 2_000, 200
VIEWS = {"inbox": "#/inbox", "messages": "#/", "all mail": "#/mail", "agent": "#/agents/many-1", "threads": "#/threads"}
VIEWS |= {"thread": "#/threads/thread-1", "broadcasts": "#/broadcasts", "activity": "#/activity"}
PRESETS = {"desktop": ["--preset=desktop"], "phone": []}  # the default is a phone with a slow network and processor
THEMES = {"light": 1, "dark": 0}  # Blink's numbers of them
TRIES = 3  # it misses the beginning of the navigation now and then
ALWAYS = (
    "--quiet",
    "--output=json",
    "--max-wait-for-load=8000",  # ms: the event stream never lets the network be idle
    "--only-categories=performance,accessibility,best-practices",
)
FLAGS = "--headless --no-sandbox --disable-gpu"
BODY = "# Build {at}\n\n- **green** on `arm`\n- 4 min\n\nSee https://ci.example/{at}"


def missing() -> str:
    """Return what is not on this machine, or ""."""
    if not os.environ.get("LIGHTHOUSE"):
        return "LIGHTHOUSE does not name Lighthouse's command (npm install lighthouse)"
    return "" if shutil.which("chromium") else "there is no chromium on this machine"


def run(seconds: float) -> Rows:
    """Open each view of a full mailroom, in both themes, once as a desktop and once as a phone."""
    if why := missing():
        raise FileNotFoundError(why)
    with daemon(POSTINO_HUMAN_NAME="luca") as stack:
        url = f"http://localhost:{stack.port}"
        _fill(url)
        return [
            {"device": device, "theme": theme, "view": view} | _scores(f"{url}/{place}", options, THEMES[theme])
            for device, options in PRESETS.items()
            for theme in THEMES
            for view, place in VIEWS.items()
        ]


def _fill(url: str) -> None:
    """Send what the mailroom holds."""

    def send(at: int) -> None:
        sender, to = f"many-{at * 7 % AGENTS}", f"many-{at % AGENTS}"
        _post(url, "messages", {"from": sender, "to": to, "body": BODY.format(at=at), "thread": f"thread-{at % 50}"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda at: _post(url, f"agents/many-{at}/heartbeat", {}), range(AGENTS)))
        list(pool.map(send, range(MESSAGES)))
    for at in range(5):
        _post(url, "broadcasts", {"from": f"many-{at}", "body": f"To all: build {at} is out."})
        _post(url, "messages", {"from": f"many-{at}", "to": "luca", "body": "Merge?", "choices": ["Merge", "Wait"]})


def _post(url: str, path: str, body: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/{path}", json.dumps(body).encode(), headers)
    urllib.request.urlopen(request, timeout=10).close()


def _scores(url: str, options: list[str], theme: int) -> dict[str, Any]:
    """Return the scores of one address, of 100, and when its largest part was drawn."""
    found = report(url, options, theme)
    scores = {name: round(100 * each["score"]) for name, each in found["categories"].items()}
    return scores | {
        "largest part s": found["audits"]["largest-contentful-paint"]["numericValue"] / 1000,
        "blocked ms": found["audits"]["total-blocking-time"]["numericValue"],
    }


def report(url: str, options: list[str], theme: int) -> dict[str, Any]:
    """Return Lighthouse's report of one address."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.json")
        flags = f"--chrome-flags={FLAGS} --blink-settings=preferredColorScheme={theme}"
        command = [os.environ["LIGHTHOUSE"], url, *ALWAYS, f"--output-path={path}", flags, *options]
        env = os.environ | {"CHROME_PATH": str(shutil.which("chromium"))}
        for tries in range(TRIES):
            done = subprocess.run(command, env=env, check=tries == TRIES - 1, timeout=120, stderr=subprocess.DEVNULL)
            if done.returncode == 0:
                break
        found: dict[str, Any] = json.loads(path.read_text())
    return found
