"""The table in SECURITY.md: each row is what a test tries, and no attack gets through."""

from __future__ import annotations

import re
from pathlib import Path

from tests.attacks import rows

ROOT = Path(__file__).resolve().parents[2]


def test_each_row_of_the_table_is_counted_by_the_test_that_it_names() -> None:
    assert rows()
    for row in rows():
        file = re.fullmatch(r"pytest (tests/\S+\.py)", row.command)
        assert file and f'attacked("{row.attack}"' in re.sub(r"\(\s+", "(", (ROOT / file[1]).read_text()), row


def test_each_attack_of_the_tests_has_one_row_and_none_gets_through() -> None:
    files = [each for each in (ROOT / "tests").rglob("test_*.py") if each != Path(__file__)]
    text = "".join(file.read_text() for file in files)
    counted = re.findall(r'\battacked\(\s*"([^"]+)"', text)

    assert sorted(counted) == sorted(row.attack for row in rows())
    assert [row for row in rows() if row.through or not row.cases] == []
