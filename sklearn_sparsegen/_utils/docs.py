"""Docstrings of encoders that share parameters, each of which is described once."""

import inspect
import re
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T", bound=type)


def describe_like(source: type, without: tuple[str, ...] = ()) -> Callable[[_T], _T]:
    """Return a class decorator that describes what a class shares with another one.

    It writes the sections "Parameters", in the order of the signature, and "Attributes"
    before "See Also". Descriptions in the class itself come before those of `source`,
    whose attributes `without` are left out.
    """

    def decorator(cls):
        if "See Also\n" not in cls.__doc__:  # python -OO strips docstrings
            return cls
        doc, sections = inspect.cleandoc(cls.__doc__), ""
        for section in ("Parameters", "Attributes"):
            shared = _descriptions(inspect.cleandoc(source.__doc__), section)
            descriptions = shared | _descriptions(doc, section)
            names = [name for name in descriptions if name not in without]
            if section == "Parameters":
                names = inspect.signature(cls).parameters
            body = "\n\n".join(descriptions[name] for name in names)
            sections += f"{section}\n{'-' * len(section)}\n{body}\n\n"
            doc = _pattern(section).sub("", doc)
        cls.__doc__ = doc.replace("See Also\n", sections + "See Also\n", 1) + "\n"
        return cls

    return decorator


def _pattern(section):
    # The header of the section, and its body up to the next header or the end.
    return re.compile(
        rf"(^{section}\n-+\n)(.*?)(?=^\w[\w ]*\n-+$|\Z)", re.MULTILINE | re.DOTALL
    )


def _descriptions(doc, section):
    """Return the description of each name in a section."""
    match = _pattern(section).search(doc)
    if match is None:
        return {}
    blocks = re.split(r"^(?=\w+ : )", match[2], flags=re.MULTILINE)
    return {block.split(" : ")[0]: block.strip() for block in blocks if block.strip()}
