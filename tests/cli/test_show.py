"""`postino show` prints one message: its Markdown rendered, its state, and nothing a terminal acts on."""

from __future__ import annotations

from postino.client import Client
from tests.waiting import until

BODY = """# Title

A *short* text with `code` and [a link](https://example.com/x).

- one
- [ ] two

> quoted

| a | b |
|-|-|
| 1 | 22 |

```py
x = 1
```
"""
SHOWN = """    Title

    A short text with `code` and a link (https://example.com/x).

    - one
    - [ ] two

    │ quoted

    a │ b
    1 │ 22

      x = 1
"""


def test_a_message_is_shown_rendered_with_its_state(postino) -> None:
    postino.ok("send", "sh-bob", BODY, "--from", "sh-ann", "--id", "sh-1", "--thread", "Red build: who?")
    postino.ok("read", "sh-bob")

    shown = postino.ok("show", "sh-1")

    assert shown.startswith("sh-ann → sh-bob")
    assert shown.count("acked") == 1 and "by " in shown and "thread Red build: who?" in shown
    assert shown.endswith(SHOWN)
    assert "    # Title" in postino.ok("show", "sh-1", "--raw")
    assert postino.json("show", "sh-1")["items"][0]["body"] == BODY


def test_of_a_message_that_waits_again_the_last_reader_is_named(bare) -> None:
    bare.serve(POSTINO_MESSAGE_LEASE="1")
    bare.ok("send", "bea", "hello", "--id", "sh-4")
    with Client(bare.home / "daemon.sock") as client:
        reader = client.read("bea")["consumer"][:8]

    until(lambda: f"queued, last read by {reader} at 20" in bare.ok("show", "sh-4"), "its lease has ended")


def test_a_leased_message_names_its_reader(postino) -> None:
    postino.ok("send", "sh-bea", "hello", "--id", "sh-5")
    with Client(postino.home / "daemon.sock") as client:
        reader = client.read("sh-bea")["consumer"][:8]

    assert f"leased by {reader} at 20" in postino.ok("show", "sh-5")


def test_a_message_to_several_is_shown_once_with_the_state_for_each(postino) -> None:
    postino.ok("send", "sh-x,sh-y", "hello", "--from", "sh-ann", "--id", "sh-2")
    postino.ok("read", "sh-x")
    shown = postino.ok("show", "sh-2")
    assert "sh-x: acked" in shown and "sh-y: queued" in shown
    assert shown.startswith("sh-ann → sh-x, sh-y  ")


def test_of_a_long_list_the_head_names_the_first_and_counts_the_others(postino) -> None:
    postino.ok("send", ",".join(f"sh-{number}" for number in range(12)), "hello", "--from", "sh-ann", "--id", "sh-3")
    first = ", ".join(f"sh-{number}" for number in range(10))
    assert f"sh-ann → {first} and 2 more  " in postino.ok("history", "--search", "sh-3")


def test_a_message_that_is_not_there_is_refused(postino) -> None:
    assert "no message with the id 'sh-none'" in postino.no(3, "show", "sh-none")
