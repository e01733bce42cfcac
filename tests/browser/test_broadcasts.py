"""The broadcasts: sent from the page, seen by n of m agents, cleared."""

from __future__ import annotations

import secrets

from playwright.sync_api import expect

from tests.browser.page import message


def test_a_broadcast_sent_from_the_page_reaches_an_mcp_client(visit, mcp_client, served, until, name) -> None:
    client = mcp_client(name)
    page = visit("#/broadcasts", name="luca")
    text = f"hear ye {secrets.token_hex(4)}"
    page.get_by_role("textbox", name="Write to everyone").fill(text)
    page.keyboard.press("Control+Enter")
    page.locator("article.message", has_text=text).get_by_text("seen by 0 of 1 agent").wait_for()

    (got,) = client.call("msg_broadcasts")["broadcasts"]
    # a later call moves the cursor, once 50 ms have passed since the answer
    until(lambda: client.call("msg_whoami") and served.call("GET", "broadcasts")["items"][-1]["seen"], "it is seen")

    assert (got["body"], got["from"], got["via"]) == (text, "luca", "web")
    page.locator("article.message", has_text=text).get_by_text("seen by 1 of 1 agent").wait_for()


def test_a_broadcast_has_a_tick_for_each_agent_that_changes_when_it_reads(visit, served, name) -> None:
    ada, bob = f"{name}-ada", f"{name}-bob"
    for each in (ada, bob):
        served.call("POST", f"agents/{each}/heartbeat", {})
    id = served.call("POST", "broadcasts", {"body": "for you two", "from": name})["id"]
    page = visit("#/broadcasts")
    ticks = message(page, id).locator(".tick")
    expect(ticks.and_(page.locator(f'[data-agent="{ada}"]'))).to_have_attribute("data-state", "unseen")

    served.call("POST", f"broadcasts/{bob}/read", {})

    expect(ticks.and_(page.locator(f'[data-agent="{bob}"]'))).to_have_attribute("data-state", "seen")
    expect(ticks.and_(page.locator(f'[data-agent="{ada}"]'))).to_have_attribute("title", f"{ada} has not seen it yet")


def test_clearing_the_broadcasts_asks_first(visit, served, name) -> None:
    id = served.call("POST", "broadcasts", {"body": "to be cleared", "from": name})["id"]
    page = visit("#/broadcasts")
    message(page, id).wait_for()
    page.get_by_role("button", name="Clear all").click()
    page.keyboard.press("Escape")
    expect(message(page, id)).to_have_count(1)

    page.get_by_role("button", name="Clear all").click()
    page.get_by_role("dialog").get_by_role("button", name="Clear all").click()

    page.get_by_text("No broadcasts yet").wait_for()
    assert f"curl {served.url}/api/broadcasts" in page.locator(".empty pre").inner_text()


def test_what_the_disk_altered_is_marked_on_the_page_and_in_each_answer(visit, mcp_client, served, name) -> None:
    sent = served.call("POST", "broadcasts", {"body": "pay 100", "from": name})["id"]
    dead = served.send(name, "pay 200")
    for _ in range(5):
        served.settle("nack", name, served.read(name))
    mail = served.send(name, "pay 300")
    for index, id in (("all", sent), (name, mail), (name, dead)):  # another digest has the effect of another body
        key = f"{{po}}:index:{index}"
        words = served.valkey().hget(key, id).split(" ")  # the second is the digest: lua/lib/entry.lua
        assert len(words[1]) == 32
        served.valkey().hset(key, id, " ".join([words[0], "0" * 32, *words[2:]]))

    note = "Altered on disk: this is not what was sent"
    message(visit("#/broadcasts"), sent).get_by_text(note).wait_for()
    page = visit(f"#/agents/{name}")
    message(page, mail).get_by_text(note).wait_for()
    page.locator(".dead-bar [aria-expanded]").click()
    page.locator(f'[data-dead-id="{dead}"]').get_by_text(note).wait_for()

    client = mcp_client(name)
    (listed,) = [each for each in client.call("msg_broadcasts", all=True)["broadcasts"] if each.get("id") == sent]
    assert (listed["altered"], listed["body"]) == (True, "pay 100")
    (unseen,) = [each for each in client.call("msg_broadcasts")["broadcasts"] if each["id"] == sent]
    assert (unseen["altered"], unseen["body"]) == (True, "")
    assert client.call("msg_read")["messages"] == []
    for path in (f"dead/{name}", f"history?agent={name}"):
        assert {each["id"]: each.get("altered") for each in served.call("GET", path)["items"]}[dead] is True
    served.call("DELETE", "broadcasts")


def test_older_broadcasts_are_loaded_on_request(visit, served, name) -> None:
    served.call("DELETE", "broadcasts")
    for number in range(60):
        served.call("POST", "broadcasts", {"body": f"number {number}", "from": name})
    page = visit("#/broadcasts")
    page.get_by_text("number 59", exact=True).wait_for()
    expect(page.locator("article.message")).to_have_count(50)

    page.get_by_role("button", name="Show older broadcasts").click()

    page.get_by_text("number 0", exact=True).wait_for()
    assert page.locator("article.message .prose").all_inner_texts() == [f"number {number}" for number in range(60)]
    served.call("DELETE", "broadcasts")
