"""The page's files: compressed, cached by their digest, and shown under one origin."""

from __future__ import annotations

import gzip
import os
import re
from typing import Any

import pytest

from postino.rest import page

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}


async def fetch(api: Any, path: str, **headers: str) -> tuple[int, bytes, Any]:
    """Return status, body as it was sent, and headers."""
    async with api.client.session.get(
        api.client.make_url(path), headers=headers, auto_decompress=False, allow_redirects=False
    ) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_every_file_that_the_page_names_is_kept_for_ever_and_compressed(api) -> None:
    html = (await api.get("/")).text
    named = re.findall(r'(?:src|href)="(/web/[^"]+)"', html)

    assert len(named) > 20
    for path in named:
        status, body, headers = await fetch(api, path, **{"Accept-Encoding": "gzip"})
        plain = (page.FOLDER / path.split("/", 3)[3]).read_bytes()
        assert (status, headers["Cache-Control"]) == (200, "private, max-age=31536000, immutable"), path
        assert headers["Vary"] == "Accept-Encoding"
        if len(plain) > 500:
            assert headers["Content-Encoding"] == "gzip"
            assert len(body) < 0.8 * len(plain)
        assert (gzip.decompress(body) if "Content-Encoding" in headers else body) == plain


@pytest.mark.parametrize("accepted", ["", "br", "gzip;q=0", "identity"])
async def test_a_client_that_takes_no_gzip_gets_the_plain_file(api, accepted) -> None:
    _, body, headers = await fetch(api, "/web/main.js", **{"Accept-Encoding": accepted})

    assert "Content-Encoding" not in headers
    assert body == (page.FOLDER / "main.js").read_bytes()


@pytest.mark.parametrize("path", ["/web/main.js", "/web/~0123456789abcdef/main.js"])
async def test_a_file_without_the_present_digest_is_not_kept(api, path) -> None:
    status, _, headers = await fetch(api, path)

    assert (status, headers["Cache-Control"]) == (200, "no-store")


async def test_a_changed_file_has_another_address(api, monkeypatch, tmp_path) -> None:
    for name in ("index.html", "main.js"):
        (tmp_path / name).write_bytes((page.FOLDER / name).read_bytes())
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    page.files.cache_clear()
    try:
        before = re.findall(r"/web/~\w+/main.js", (await api.get("/")).text)
        (tmp_path / "main.js").write_text("changed")
        os.utime(tmp_path / "main.js", ns=(1, 1))
        after = re.findall(r"/web/~\w+/main.js", (await api.get("/")).text)
        _, body, _ = await fetch(api, after[0])
    finally:
        page.files.cache_clear()

    assert before and after and before[0] != after[0]
    assert body == b"changed"


async def test_a_file_that_an_update_has_added_is_served(api, monkeypatch, tmp_path) -> None:
    (tmp_path / "index.html").write_bytes((page.FOLDER / "index.html").read_bytes())
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    page.files.cache_clear()
    try:
        assert "/inbox.js" not in (await api.get("/")).text
        (tmp_path / "inbox.js").write_text("new")
        added = re.findall(r"/web/~\w+/inbox.js", (await api.get("/")).text)
        status, body, _ = await fetch(api, added[0])
    finally:
        page.files.cache_clear()

    assert (status, body) == (200, b"new")


async def test_a_file_that_an_update_has_taken_away_is_no_bug(api, monkeypatch, tmp_path) -> None:
    for name in ("index.html", "main.js", "api.js"):
        (tmp_path / name).write_bytes((page.FOLDER / name).read_bytes())
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    page.files.cache_clear()
    try:
        assert "/api.js" in (await api.get("/")).text
        (tmp_path / "api.js").unlink()
        shown, gone = await api.get("/"), await api.get("/web/api.js")
        (tmp_path / "index.html").unlink()
        without = await api.get("/")
    finally:
        page.files.cache_clear()

    assert (shown.status, "/api.js" in shown.text, gone.status, gone.json["code"]) == (200, False, 404, "not_found")
    assert (without.status, without.text) == (200, page.NO_PAGE)


@pytest.mark.parametrize("name", ["127.0.0.1", "[::1]"])
async def test_a_browser_that_names_the_machine_by_a_number_is_sent_to_localhost(api, name) -> None:
    status, _, headers = await fetch(api, "/", Host=f"{name}:{api.port}", **NAVIGATION)

    assert (status, headers["Location"]) == (307, f"http://localhost:{api.port}/")


async def test_only_a_browser_is_sent_elsewhere_and_never_from_localhost(api) -> None:
    scripted = await fetch(api, "/", Host=f"127.0.0.1:{api.port}")
    there = await fetch(api, "/", Host=f"localhost:{api.port}", **NAVIGATION)

    assert (scripted[0], there[0]) == (200, 200)
