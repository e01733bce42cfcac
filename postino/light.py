"""`dataclass` without importing `dataclasses`, which with `inspect` costs 8 ms, and patterns without `re`, 7 ms.

For what every command imports. `dataclass` makes what `dataclass(frozen=True)` of the library makes, with `slots` too:
fields by position or name, defaults, ==, hash, repr. The functions of `dataclasses` (`replace`, `fields`, `asdict`)
work on the result. Records do not inherit fields.
"""

from __future__ import annotations

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    import re
    from dataclasses import dataclass as dataclass
    from dataclasses import field as field
    from typing import Any, TypeVar

    R = TypeVar("R")
else:

    class field:
        """The default of a field, made anew for each record."""

        def __init__(self, *, default_factory):
            self.make = default_factory

    def dataclass(*, frozen, slots=False):
        """Return a decorator that makes a record of a class; it must be frozen."""
        if not frozen:
            raise TypeError("only what is frozen is made here; use dataclasses.dataclass")
        return lambda cls: _made(cls, slots)

    def _made(cls, slots):
        names = tuple(name for name, kind in cls.__annotations__.items() if not kind.startswith("ClassVar"))
        defaults = {name: getattr(cls, name) for name in names if hasattr(cls, name)}
        made = {"__match_args__": names, "_defaults": defaults, "__dataclass_fields__": _Fields()}
        made |= {name: method for name, method in METHODS.items() if name not in cls.__dict__}
        if slots:  # the class is made again: slots cannot be added to one
            left = (*defaults, "__dict__", "__weakref__")
            made |= {name: value for name, value in cls.__dict__.items() if name not in left}
            return type(cls)(cls.__name__, cls.__bases__, made | {"__slots__": names})
        for name, value in made.items():
            setattr(cls, name, value)
        return cls

    def _init(self, *values, **named):
        kind, names = type(self).__name__, self.__match_args__
        given = dict(zip(names, values, strict=False))
        wrong = {*named} - {*names} or {*given} & {*named} or values[len(names) :]
        if wrong:
            raise TypeError(f"{kind} takes {', '.join(names)}, each once")
        given |= named
        for name in names:
            if name in given:
                value = given[name]
            elif name in self._defaults:
                value = self._defaults[name]
                value = value.make() if isinstance(value, field) else value
            else:
                raise TypeError(f"{kind} needs {name}")
            object.__setattr__(self, name, value)

    def _frozen(self, name, *_):
        raise AttributeError(f"cannot assign to field {name!r}")

    def _values(self):
        return tuple(getattr(self, name) for name in self.__match_args__)

    def _repr(self):
        shown = [f"{name}={getattr(self, name)!r}" for name in self.__match_args__]
        return f"{type(self).__qualname__}({', '.join(shown)})"

    def _eq(self, other):
        return _values(self) == _values(other) if other.__class__ is self.__class__ else NotImplemented

    def _hash(self):
        return hash(_values(self))

    METHODS = {
        "__init__": _init,
        "__setattr__": _frozen,
        "__delattr__": _frozen,
        "__repr__": _repr,
        "__eq__": _eq,
        "__hash__": _hash,
    }

    class _Fields:
        """`__dataclass_fields__`, made when a function of `dataclasses` asks for it the first time."""

        def __get__(self, instance, owner):
            import dataclasses

            def described(name):
                kind = owner.__annotations__[name]
                if name not in owner._defaults:
                    return name, kind
                default = owner._defaults[name]
                made = {"default_factory": default.make} if isinstance(default, field) else {"default": default}
                return name, kind, dataclasses.field(**made)

            twin = dataclasses.make_dataclass(owner.__name__, map(described, owner.__match_args__), frozen=True)
            owner.__dataclass_fields__ = twin.__dataclass_fields__
            return owner.__dataclass_fields__


def asdict(record: Any) -> dict[str, Any]:
    """Return the fields of a record by name; what they hold is not copied."""
    return {name: getattr(record, name) for name in record.__match_args__}


def replace(record: R, **changes: Any) -> R:
    """Return a record with some fields changed."""
    return type(record)(**(asdict(record) | changes))


_patterns: dict[str, re.Pattern[str]] = {}


def pattern(text: str) -> re.Pattern[str]:
    """Return a compiled regular expression, compiled once, on first use: a quick command seldom needs one."""
    found = _patterns.get(text)
    if found is None:
        import re

        found = _patterns[text] = re.compile(text)
    return found
