"""Several recipients on the page: written to by a list or a group, with a tick for each that has read."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.page import live, message, write


def test_a_list_is_written_to_and_each_tick_is_live(visit, served, name) -> None:
    ada, bob = f"{name}-ada", f"{name}-bob"
    page = visit("#/")
    live(page)
    page.get_by_role("combobox", name="To", exact=True).fill(f"{ada}, {bob}")
    write(page, "for both of you")
    page.get_by_text(f"Sent to 2 agents. Nobody named {ada} or {bob} has been seen yet; the message waits.").wait_for()
    (entry,) = served.history(ada)
    shown = message(page, entry["id"])

    expect(shown.locator(".message-state-label")).to_have_text("Read by 0 of 2")
    expect(shown.locator(".from-to .recipients a")).to_have_text([ada, bob])
    served.settle("ack", bob, served.read(bob))
    expect(shown.locator(f'.tick[data-agent="{bob}"]')).to_have_attribute("data-state", "acked")
    expect(shown.locator(f'.tick[data-agent="{ada}"]')).to_have_attribute("data-state", "queued")
    expect(shown.locator(".message-state-label")).to_have_text("Read by 1 of 2")


def test_a_group_is_offered_written_to_and_shown_at_its_members(visit, served, name) -> None:
    ada, bob = f"{name}-ada", f"{name}-bob"
    for each in (ada, bob):
        served.call("POST", f"groups/{name}-team/members/{each}", {})
    page = visit(f"#/agents/{ada}")
    live(page)
    expect(page.locator(".mail-summary")).to_contain_text(f"in #{name}-team".lower())
    expect(page.locator(f'#known-agents option[value="#{name}-team"]'.lower())).to_be_attached()
    page.goto(page.url.partition("#")[0] + "#/")
    page.get_by_role("combobox", name="To", exact=True).fill(f"#{name}-team")
    write(page, "for the team")
    page.get_by_text(f"Sent to 2 of #{name}-team.").wait_for()
    (entry,) = served.history(bob)

    expect(message(page, entry["id"]).locator(".from-to")).to_contain_text(f"#{name}-team")
    expect(message(page, entry["id"]).locator(".tick")).to_have_count(2)


def test_of_a_large_group_ten_have_a_tick_first_those_that_have_read(visit, served, name) -> None:
    members = [f"{name}-m{number:02}" for number in range(40)]
    served.call("POST", "messages", {"to": members, "from": "ci", "body": "for all of you"})
    served.settle("ack", members[-1], served.read(members[-1]))
    page = visit(f"#/agents/{members[0]}")
    live(page)
    (entry,) = served.history(members[0])
    shown = message(page, entry["id"])

    expect(shown.locator(".message-state-label")).to_have_text("Read by 1 of 40")
    expect(shown.locator(".tick")).to_have_count(10)
    expect(shown.locator(".tick").first).to_have_attribute("data-agent", members[-1])
    expect(shown).to_contain_text("and 30 more")
    served.settle("ack", members[7], served.read(members[7]))  # not the one whose mail is shown
    expect(shown.locator(".message-state-label")).to_have_text("Read by 2 of 40")
