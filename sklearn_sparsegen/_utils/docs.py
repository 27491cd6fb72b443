"""Docstrings that share descriptions, each of which is written once."""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")

# The first section after those that are written here.
_NEXT = re.compile(r"^(Raises|See Also)\n-+$", re.MULTILINE)


def describe_like(*sources: Any, without: tuple[str, ...] = ()) -> Callable[[_T], _T]:
    """Return a decorator that describes what a class or method shares with others.

    It writes the sections "Parameters", in the order of the signature, and "Attributes"
    of a class or "Returns" of a method, before "Raises" or "See Also". A description in
    the docstring itself is taken before those of `sources`, and that of a later source
    before that of an earlier one. The names `without` are left out. Defaults are those
    of the signature.
    """

    def decorator(described):
        doc, written = inspect.cleandoc(described.__doc__ or ""), ""
        if not _NEXT.search(doc):  # python -OO strips docstrings
            return described
        docs = [*(inspect.cleandoc(source.__doc__) for source in sources), doc]
        last = "Attributes" if isinstance(described, type) else "Returns"
        for section in ("Parameters", last):
            found = {}
            for text in docs:
                found |= _descriptions(text, section)
            names = found
            if section == "Parameters":
                names = inspect.signature(described).parameters
                found = {
                    n: _with_default(found[n], names[n]) for n in names if n in found
                }
            names = [name for name in names if name in found and name not in without]
            body = "\n\n".join(found[name] for name in names)
            written += f"{section}\n{'-' * len(section)}\n{body}\n\n" * bool(names)
            doc = _pattern(section).sub("", doc)
        place = _NEXT.search(doc).start()
        described.__doc__ = f"{doc[:place]}{written}{doc[place:]}\n"
        return described

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


def _with_default(description, parameter):
    """Return a description whose first line has the default of a parameter."""
    value = parameter.default
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return re.sub(r"\A(.*default=).*", lambda match: match[1] + text, description)
