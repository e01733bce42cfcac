"""A scratch HOME with a client that talks to a scripted model, and a mailbox."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.clients.model import Model
from tests.scripted.machine import ScriptedMachine
from tests.scripted.model import Json
from tests.waiting import until

CODEX = """\
model = "scripted"
model_provider = "loop"

[model_providers.loop]
name = "loop"
base_url = "{url}/v1"
wire_api = "responses"
env_key = "DUMMY"
"""


@dataclass(kw_only=True)
class Machine(ScriptedMachine[Model]):
    """A HOME with Codex, Gemini CLI or opencode."""

    client: str

    def client_env(self) -> dict[str, str]:
        """Return what the three clients need."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{self.root / 'bin'}:/usr/local/bin:/usr/bin:/bin",
            "DUMMY": "x",
            "GEMINI_API_KEY": "dummy",
            "GOOGLE_GEMINI_BASE_URL": self.model.url,
            "GEMINI_CLI_TRUST_WORKSPACE": "true",
            "OPENCODE_DISABLE_AUTOUPDATE": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
        }

    def file(self, name: str) -> Path:
        """Return a file of HOME."""
        return self.root / name

    def prepare(self) -> None:
        """Configure the client for the model."""
        (self.root / "bin").mkdir()
        (self.root / "bin" / self.client).symlink_to(Path(self.binary).resolve())
        written = {
            "codex": (".codex/config.toml", CODEX.format(url=self.model.url)),
            "gemini": (
                ".gemini/settings.json",
                _json({"security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}}),
            ),
            "opencode": (".config/opencode/opencode.json", _json(_opencode(self.model.url))),
        }
        name, text = written[self.client]
        self.file(name).parent.mkdir(parents=True)
        self.file(name).write_text(text)
        if self.client == "opencode" and "OPENCODE_PLUGIN" in os.environ:
            self._install_plugin(Path(os.environ["OPENCODE_PLUGIN"]))

    def _install_plugin(self, installed: Path) -> None:
        """Let opencode find @opencode-ai/plugin: it installs it into each HOME, 96 MB in 5 s of CPU, for any plugin."""
        for file in installed.glob("package*.json"):
            shutil.copy(file, self.file(".config/opencode"))
        self.file(".config/opencode/node_modules").symlink_to(installed / "node_modules")

    async def client_run(self, *args: str, code: int | None = 0, **env: str) -> str:
        """Run the client to its end and return its output."""
        return await asyncio.to_thread(self.run, self.binary, *args, code=code, **env)

    def sender(self, agent: str) -> tuple[str, bool]:
        """Return who has sent the only message of an agent, and whether that is verified."""
        (item,) = self.asked(f"messages/{agent}")["items"]
        return item["from"], item["verified"]

    async def until_state(self, agent: str, id: str, state: str) -> None:
        """Wait until a message has a state."""
        await asyncio.to_thread(until, lambda: self.state(agent, id).get("state") == state, f"{id} is {state}", 30)

    def online(self) -> list[str]:
        """Return the agents that are online."""
        return [each["name"] for each in self.asked("agents")["items"] if each["online"]]

    def leftovers(self) -> list[str]:
        """Return the files of the client that name postino."""
        found = []
        for folder in (".codex", ".gemini", ".config/opencode"):
            for name in ("config.toml", "hooks.json", "settings.json", "opencode.json", "plugins/postino.js"):
                file = self.root / folder / name
                if file.exists() and b"postino" in file.read_bytes():
                    found.append(os.fspath(file))
        return found


def _json(value: Json) -> str:
    return json.dumps(value, indent=2) + "\n"


def _opencode(url: str) -> Json:
    models = {"scripted": {"name": "scripted"}}
    options = {"baseURL": f"{url}/v1", "apiKey": "x"}
    loop = {"npm": "@ai-sdk/openai-compatible", "name": "loop", "options": options, "models": models}
    schema = "https://opencode.ai/config.json"  # the client adds it where it is missing
    return {"$schema": schema, "model": "loop/scripted", "small_model": "loop/scripted", "provider": {"loop": loop}}
