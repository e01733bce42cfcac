"""Messages of msgspec about a wrong value, in the words that a caller of the API knows."""

from __future__ import annotations

_TYPES = {
    "`str`": "text",
    "`int`": "a whole number",
    "`float`": "a number",
    "`bool`": "true or false",
    "`array`": "a list",
    "`object`": "an object",
    "`null`": "null",
}


def worded(problem: str) -> str:
    """Return `problem`, what msgspec says of one field, without its type names."""
    problem = problem.replace(" | null`", "`")  # a field that may be absent need not be called null
    for type_name, words in _TYPES.items():
        problem = problem.replace(type_name, words)
    problem = problem.replace("Invalid enum value", "not a known value:").replace("Expected", "must be")
    return (
        problem.replace(", got ", ", not ")
        .replace("of length >=", "with at least")
        .replace("of length <=", "with at most")
    )
