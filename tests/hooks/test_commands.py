"""Commands that the model runs by its Bash tool, in the real client."""

from __future__ import annotations

import json
from typing import Any


async def test_a_command_of_the_bash_tool_acts_as_the_agent_of_its_session(mailbox: Any, open_tab: Any) -> None:
    await open_tab()  # has the directory's name
    tab = await open_tab()
    mailbox.send(tab.agent(), "for the model")
    commands = ["postino whoami --json", "postino send peer hello --id from-bash", "postino read"]
    mailbox.model.script([("Bash", {"command": f"({each}) 2>&1"}) for each in commands])

    await tab.prompt("go")

    whoami, sent, read = mailbox.model.answers()
    assert json.loads(whoami) == {"agent": tab.agent(), "source": "session"}
    assert sent.startswith("sent to peer, id from-bash")
    assert f"the session of {tab.agent()}, whose mail the tool msg_read reads" in read
    (message,) = mailbox.data("read", "peer", "--peek")["items"]
    assert (message["from"], message["verified"], message["via"]) == (tab.agent(), True, "cli")
    assert mailbox.data("check", tab.agent())["unreadMessages"] == 1
