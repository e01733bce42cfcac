"""Dockerfile and compose.yaml: no engine is here, so what they name is checked, and their commands run without one."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postino.config import KNOBS, load
from postino.paths import Home
from postino.store.valkey.process import program
from tests.daemons import environment
from tests.homes import scratch
from tests.waiting import until

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {variable for knob in KNOBS for variable in knob.variables}
DEADLINE_S = 40


@pytest.fixture
def dockerfile() -> list[tuple[str, str]]:
    """The instructions: the word and what follows it."""
    lines = [
        each for each in (ROOT / "Dockerfile").read_text().splitlines() if each.strip() and not each.startswith("#")
    ]
    return [(each.split(" ", 1)[0], each.split(" ", 1)[1]) for each in lines]


@pytest.fixture
def services() -> dict[str, Any]:
    """The services of compose.yaml, with its variables filled in."""
    text = re.sub(r"\$\{POSTINO_HOST:-localhost\}", "mail.example", (ROOT / "compose.yaml").read_text())
    assert "${" not in text
    return yaml.safe_load(text)  # type: ignore[no-any-return]


def variables(dockerfile: list[tuple[str, str]]) -> dict[str, str]:
    pairs = [each.split("=", 1) for word, rest in dockerfile if word == "ENV" for each in shlex.split(rest)]
    return {name: text for name, text in pairs if name != "PATH"}


def test_the_image_gets_every_file_that_the_package_is_built_from(dockerfile: list[tuple[str, str]]) -> None:
    copied = [
        each for word, rest in dockerfile if word == "COPY" and "--from" not in rest for each in rest.split()[:-1]
    ]
    let_in = {each[1:] for each in (ROOT / ".dockerignore").read_text().splitlines() if each.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml"}
    needed |= set(project["project"]["license-files"])

    assert needed <= set(copied) == let_in
    assert all((ROOT / each).exists() for each in copied)


def test_a_package_built_from_the_copied_files_is_whole(dockerfile: list[tuple[str, str]], tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for rest in [rest for word, rest in dockerfile if word == "COPY" and "--from" not in rest]:
        for each in rest.split()[:-1]:
            target = source / each
            copy = shutil.copytree if (ROOT / each).is_dir() else shutil.copy
            copy(ROOT / each, target)  # type: ignore[operator]
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(source)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_settings_of_both_files_exist_and_suffice(
    dockerfile: list[tuple[str, str]], services: dict[str, Any], tmp_path: Path
) -> None:
    given = variables(dockerfile) | services["services"]["postino"]["environment"]
    assert {each for each in given if each.startswith("POSTINO_")} <= VARIABLES
    for secret in services["services"]["postino"]["secrets"]:
        assert f"/run/secrets/{secret}" in given.values()
        (tmp_path / secret).write_text("valkey://u:p@valkey:6379/0" if secret == "valkey_url" else "token")
    here = {name: text.replace("/run/secrets", str(tmp_path)) for name, text in given.items()}
    (tmp_path / "valkey_url").write_text("redis://u:p@valkey:6379/0")

    settings, warnings = load(here)

    assert not warnings and settings.behind_proxy and settings.api_token == "token"
    home = given["POSTINO_HOME"]
    assert ("VOLUME", home) in dockerfile and f"home:{home}" in services["services"]["postino"]["volumes"]
    assert ("EXPOSE", given["POSTINO_WEB_PORT"]) in dockerfile


def test_every_name_in_the_compose_file_is_defined(services: dict[str, Any]) -> None:
    for service in services["services"].values():
        assert set(service.get("secrets", [])) <= set(services["secrets"])
        assert {each.split(":")[0] for each in service.get("volumes", [])} <= set(services["volumes"])
        assert set(service.get("depends_on", [])) <= set(services["services"])
    assert all(set(service.get("secrets", [])) for name, service in services["services"].items() if name != "caddy")
    assert services["services"]["caddy"]["command"].endswith("--to postino:3333")


class Team:
    """The processes of the compose file, each with its own command, on loopback and with files for its secrets."""

    def __init__(self, folder: Path, services: dict[str, Any], image: list[tuple[str, str]]) -> None:
        self.folder, self.services, self.image = folder, services, image
        self.started: list[subprocess.Popen[bytes]] = []
        self.env = environment(Home(folder / "home"))

    def file(self, secret: str, text: str) -> Path:
        (self.folder / secret).write_text(text)
        return self.folder / secret

    def start(self, command: list[str], **env: str) -> None:
        """Start one as the first process of its container is: nothing before it, the log on standard output."""
        log = (self.folder / "out").open("ab")
        null = subprocess.DEVNULL
        with log:
            self.started.append(subprocess.Popen(command, env=self.env | env, cwd="/", stdout=log, stderr=null))

    def valkey(self) -> None:
        words = [str(each) for each in self.services["services"]["valkey"]["command"]]
        words = [str(program()), *[each.replace("/run/secrets", str(self.folder)) for each in words[1:]]]
        self.start([*words, "--port", "0", "--unixsocket", str(self.folder / "valkey.sock"), "--dir", str(self.folder)])

    def daemon(self) -> dict[str, str]:
        given = variables(self.image) | self.services["services"]["postino"]["environment"]
        given |= {"POSTINO_HOME": str(self.folder / "home"), "POSTINO_WEB_PORT": "0"}
        given = {name: text.replace("/run/secrets", str(self.folder)) for name, text in given.items()}
        command = next(json.loads(rest) for word, rest in self.image if word == "CMD")
        self.start(command, **given)
        return given


@pytest.fixture
def team(services: dict[str, Any], dockerfile: list[tuple[str, str]]) -> Iterator[Team]:
    made = Team(scratch(), services, dockerfile)
    yield made
    for each in made.started:
        each.kill()
        each.wait()
    shutil.rmtree(made.folder)


def test_the_commands_of_both_files_make_a_mailroom_with_a_token(team: Team) -> None:
    acl = re.findall(r"""^\$ echo ["'](user .*)["'] >>?secrets/valkey.acl$""", _guide(), re.MULTILINE)
    assert len(acl) == 2, "docs/deployment.md has the users of the Valkey"
    team.file("valkey_acl", "\n".join(acl).replace("$PASSWORD", "abc") + "\n")
    team.file("valkey_url", f"unix://postino:abc@{team.folder}/valkey.sock?db=0")
    team.file("api_token", "the-token")
    team.valkey()
    given = team.daemon()
    info = team.folder / "home/daemon.json"
    until(info.exists, "the daemon serves", DEADLINE_S)
    url = json.loads(info.read_text())["url"]

    def curl(*words: str) -> str:
        command = ["curl", "-s", "-m", "20", "-w", " %{http_code}", *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    send = [f"{url}/api/messages", "-H", "Content-Type: application/json", "-d", '{"to": "bob", "body": "x"}']
    through_proxy = ["-H", "Host: mail.example", "-H", "Authorization: Bearer the-token"]
    assert curl(*send).endswith(" 401")
    sent = curl(*send, *through_proxy)
    assert sent.endswith(" 200") and '"durability":"fsync"' in sent
    check = next(rest for word, rest in team.image if word == "HEALTHCHECK").partition("CMD ")[2]
    done = subprocess.run(json.loads(check), env=team.env | given, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done

    daemon = team.started[-1]
    daemon.terminate()
    assert daemon.wait(20) == 0
    log = (team.folder / "out").read_text()
    assert '"event": "serving"' in log and '"event": "stopped"' in log  # on standard output


def test_without_a_token_the_image_says_what_it_needs(dockerfile: list[tuple[str, str]], home: Home) -> None:
    command = next(json.loads(rest) for word, rest in dockerfile if word == "CMD")
    env = environment(home, **(variables(dockerfile) | {"POSTINO_HOME": str(home.root), "POSTINO_WEB_PORT": "0"}))
    done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (2, "")
    assert "needs a token" in done.stdout and "POSTINO_BEHIND_PROXY=1" in done.stdout


def _guide() -> str:
    return (ROOT / "docs/deployment.md").read_text()
