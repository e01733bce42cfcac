"""What the first rows of a large mailroom cost: processor time of the page, and what is drawn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

MESSAGES, AGENTS = 2_000, 200
BUDGET_S = 1.0  # of the page's thread until the first rows are there; other programs do not count
#: messages as lua/send.lua writes them, without their places in the index
FILL = """
for at = 1, tonumber(ARGV[1]) do
  redis.call('XADD', KEYS[1], '*', 'to', 'many-' .. (at % 200), 'm', at .. ' ' .. ARGV[2] .. ' fill-' .. at .. ' many-'
    .. (at * 7 % 200) .. ' v 60 ["mcp","thread ' .. (at % 50) .. '",null,"# Build ' .. at
    .. '\\\\n\\\\n- **green** on `arm`"]')
end
"""


def cost(page: Any, url: str) -> tuple[float, dict[str, int]]:
    """Open `url`; return the seconds of the page's thread until the first rows are drawn, and how much was drawn."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(url)
    page.locator("article.message").first.wait_for()
    page.locator("li[data-agent]").first.wait_for()
    found = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
    drawn = {name: page.locator(name).count() for name in ("article.message", "li[data-agent]")}
    return found["TaskDuration"], drawn


def test_the_first_rows_of_a_large_mailroom_take_less_than_a_second(browser: Any, served: Any) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: served.call("POST", f"agents/many-{at}/heartbeat"), range(AGENTS)))
    with served.valkey() as valkey:
        valkey.eval(FILL, 1, "{po}:history", MESSAGES, valkey.time()[0] * 1000)
    assert served.call("GET", "history?limit=1&q=fill-1")["items"], "the messages are found"
    context = browser.new_context(viewport={"width": 1280, "height": 800})

    spent, drawn = cost(context.new_page(), f"{served.url}/#/mail")

    context.close()
    assert spent < BUDGET_S
    assert drawn == {"article.message": 50, "li[data-agent]": 100}
