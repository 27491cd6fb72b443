"""Docstrings of encoders that share parameters: each is described once."""

import inspect
import re


def share_descriptions(cls):
    """Complete the docstring of `cls` with what its base classes describe.

    Sections "Parameters", in the order of the signature, and "Attributes".
    """
    if cls.__doc__ is None:  # python -OO
        return cls
    doc = inspect.cleandoc(cls.__doc__)
    for section in ("Parameters", "Attributes"):
        descriptions = {}
        for base in cls.__mro__:
            if base.__module__.startswith(__package__):
                inherited = _descriptions(inspect.cleandoc(base.__doc__), section)
                descriptions = inherited | descriptions
        if section == "Parameters":
            names = list(inspect.signature(cls).parameters)
        else:
            own = _descriptions(doc, section)
            names = list(own) + [name for name in descriptions if name not in own]
        body = "\n\n".join(descriptions[name] for name in names)
        doc = _replace(doc, section, body)
    cls.__doc__ = doc.strip() + "\n"
    return cls


def _pattern(section):
    # the section's header, and its body up to the next header or the end
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


def _replace(doc, section, body):
    return _pattern(section).sub(lambda match: f"{match[1]}{body}\n\n", doc)
