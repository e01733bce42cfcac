"""What a person sees of the notifications: status, doctor, the API; and nobody sees the address."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.daemons import Daemon, daemon_of, environment
from tests.notify.ntfy import Ntfy


def run(daemon: Daemon, *args: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "postino", *args],
        env=daemon.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_status_doctor_and_health_say_how_it_goes_and_never_the_address(home, ntfy: Ntfy) -> None:
    file = home.root.parent / f"{home.root.name}.notify"
    file.write_text(f"{ntfy.address}\n")
    try:
        with daemon_of(home, POSTINO_NOTIFY_URL_FILE=str(file), POSTINO_MAX_DELIVERIES="1") as daemon:
            assert daemon.health()["notify"] == {"service": "ntfy"}
            _, said = run(daemon, "doctor", "--notify")
            assert "notify   ntfy took a test notification" in said, said
            assert ntfy.received[0]["title"] == "postino: a test"
            assert ntfy.received[0]["message"] == f"It arrived.\n{daemon.url.replace('127.0.0.1', 'localhost')}/"

            ntfy.status = 403
            failed, refused = run(daemon, "doctor", "--notify", "--json")
            found = {each["check"]: each for each in json.loads(refused)["checks"]}["notify"]
            assert (failed, found["code"]) == (3, "notify_failed")
            assert "ntfy: it answered error 50001" in found["text"]

            assert "ntfy: it answered error 50001" in daemon.health()["notify"]["error"]
            status = run(daemon, "status")[1]
            assert "notify  failing since" in status, status

            shown = [said, refused, status, run(daemon, "status", "--json")[1], str(daemon.health())]
            shown += [each.read_text() for each in home.root.iterdir() if each.is_file()]
            assert not [each for each in shown if "secret-" in each]
    finally:
        file.unlink()


def test_a_daemon_without_an_address_says_so(served: Daemon) -> None:
    assert "notify" not in served.health()
    assert "POSTINO_NOTIFY_URL is not set" in run(served, "doctor", "--notify")[1]


def test_a_setting_that_cannot_work_stops_the_start_with_exit_code_2(home) -> None:
    for address in ("foo://secret-3", "secret-3"):
        env = environment(home, POSTINO_NOTIFY_URL=address)
        done = subprocess.run(
            [sys.executable, "-m", "postino", "serve"], env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert "POSTINO_NOTIFY_URL" in done.stderr
        assert "secret-3" not in done.stderr
