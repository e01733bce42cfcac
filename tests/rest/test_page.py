"""The page's files: compressed, cached by their digest, and shown under one origin."""

from __future__ import annotations

import gzip
import os
import re
from typing import Any

import pytest

from postino.rest import bundle, page

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}


async def fetch(api: Any, path: str, **headers: str) -> tuple[int, bytes, Any]:
    """Return status, body as it was sent, and headers."""
    async with api.client.session.get(
        api.client.make_url(path), headers=headers, auto_decompress=False, allow_redirects=False
    ) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_the_page_is_one_script_and_one_style_sheet_of_all_files(api) -> None:
    plain = {"Accept-Encoding": "identity"}
    _, script, _ = await fetch(api, "/web/page.js", **plain)
    _, sheet, _ = await fetch(api, "/web/page.css", **plain)

    for path in page.FOLDER.rglob("*.js"):
        comment = path.read_bytes().partition(b"\n")[0]
        assert script.count(comment) == 1, path.name
    for path in page.FOLDER.rglob("*.css"):
        assert sheet.count(path.read_bytes()) == 1, path.name
    assert sheet.startswith((page.FOLDER / "style/tokens.css").read_bytes())
    assert not re.search(rb"^(import|export)\b", script, re.MULTILINE)


@pytest.mark.parametrize("line", ['import "./b.js";', "export default 1;", "export { a };", 'import a from "./b.js";'])
def test_a_module_in_another_form_is_refused_by_its_name(line) -> None:
    html = '<script type="module" src="/web/a.js"></script>'

    with pytest.raises(ValueError, match=re.escape("a.js: cannot take")):
        bundle.script(html, {"a.js": f"const a = 1;\n{line}\n", "b.js": ""}.__getitem__)


def test_modules_that_import_each_other_are_refused() -> None:
    modules = {"a.js": 'import { b } from "./b.js";\n', "b.js": 'import { a } from "./a.js";\n'}

    with pytest.raises(ValueError, match="import each other"):
        bundle.script('<script type="module" src="/web/a.js"></script>', modules.__getitem__)


async def test_every_file_that_the_page_names_is_kept_for_ever_and_compressed(api) -> None:
    html = (await api.get("/")).text
    named = re.findall(r'(?:src|href)="(/web/[^"]+)"', html)

    assert {path.rpartition("/")[2] for path in named} == {"favicon.svg", "page.css", "page.js"}
    for path in named:
        status, body, headers = await fetch(api, path, **{"Accept-Encoding": "gzip"})
        _, plain, _ = await fetch(api, path, **{"Accept-Encoding": "identity"})
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
    (tmp_path / "main.js").write_text("first")
    try:
        before = re.findall(r"/web/~\w+/page.js", (await api.get("/")).text)
        (tmp_path / "main.js").write_text("changed")
        os.utime(tmp_path / "main.js", ns=(1, 1))
        after = re.findall(r"/web/~\w+/page.js", (await api.get("/")).text)
        _, body, _ = await fetch(api, after[0])
    finally:
        page.files.cache_clear()

    assert before and after and before[0] != after[0]
    assert body == b"changed"


async def test_a_file_that_an_update_has_added_is_part_of_the_script(api, monkeypatch, tmp_path) -> None:
    (tmp_path / "index.html").write_bytes((page.FOLDER / "index.html").read_bytes())
    (tmp_path / "main.js").write_text("first")
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    page.files.cache_clear()
    try:
        before = (await api.get("/")).text
        (tmp_path / "inbox.js").write_text("export const added = 1;\n")
        (tmp_path / "main.js").write_text('import { added } from "./inbox.js";\n')
        after = re.findall(r"/web/~\w+/page.js", (await api.get("/")).text)
        status, body, _ = await fetch(api, after[0], **{"Accept-Encoding": "identity"})
    finally:
        page.files.cache_clear()

    assert after[0] not in before
    assert status == 200
    assert b"const added = 1;" in body


async def test_a_file_that_an_update_has_taken_away_is_no_bug(api, monkeypatch, tmp_path) -> None:
    (tmp_path / "index.html").write_bytes((page.FOLDER / "index.html").read_bytes())
    (tmp_path / "main.js").write_text('import { Api } from "./api.js";\n')
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    page.files.cache_clear()
    try:
        shown, gone = await api.get("/"), await api.get("/web/api.js")
        script = await api.get("/web/page.js")
        (tmp_path / "index.html").unlink()
        without = await api.get("/")
    finally:
        page.files.cache_clear()

    assert (shown.status, gone.status, gone.json["code"]) == (200, 404, "not_found")
    assert (script.status, script.json["code"]) == (404, "not_found")
    assert (without.status, without.text) == (200, page.NO_PAGE)


@pytest.mark.parametrize("name", ["127.0.0.1", "[::1]"])
async def test_a_browser_that_names_the_machine_by_a_number_is_sent_to_localhost(api, name) -> None:
    status, _, headers = await fetch(api, "/", Host=f"{name}:{api.port}", **NAVIGATION)

    assert (status, headers["Location"]) == (307, f"http://localhost:{api.port}/")


async def test_only_a_browser_is_sent_elsewhere_and_never_from_localhost(api) -> None:
    scripted = await fetch(api, "/", Host=f"127.0.0.1:{api.port}")
    there = await fetch(api, "/", Host=f"localhost:{api.port}", **NAVIGATION)

    assert (scripted[0], there[0]) == (200, 200)
