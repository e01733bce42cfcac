"""The list of agents."""

from __future__ import annotations

from playwright.sync_api import expect


def test_a_group_counts_all_its_agents_not_only_its_visible_rows(visit, served, name) -> None:
    for number in range(120):
        served.send(f"{name}-{number}")
    page = visit("#/")
    page.get_by_label("Filter agents").fill(name)
    waiting = page.locator("section.group", has_text="Mail waiting")

    expect(waiting.locator(".group-count")).to_have_text("120")
    expect(waiting.locator("li[data-agent]")).to_have_count(100)
    page.get_by_role("button", name="Show 20 more of 120").click()
    expect(waiting.locator("li[data-agent]")).to_have_count(120)
