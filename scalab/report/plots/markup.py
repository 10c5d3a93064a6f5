"""Elements of HTML and SVG as text. What is no markup already is escaped."""

from __future__ import annotations

from markupsafe import Markup, escape


def element(name: str, /, *children: str, **attributes: str | float | bool | None) -> Markup:
    """Return an element.

    Args:
        name: Of the element.
        children: Elements, and text, which is escaped.
        attributes: ``class_`` stands for ``class`` and ``_`` for ``-``; one of None or False is
            left out, one of True has no value. Numbers are written with two decimals at most.

    >>> element("a", "<b>", class_="x", aria_label='"', hidden=True)
    Markup('<a class="x" aria-label="&#34;" hidden>&lt;b&gt;</a>')
    """
    written = [
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{_text(value)}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    ]
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{''.join(written)}>{inside}</{name}>")  # noqa: S704 - all escaped


def join(parts: list[Markup]) -> Markup:
    """Return elements one after the other."""
    return Markup("").join(parts)


def short(value: float, decimals: int = 2) -> str:
    """Write a coordinate without needless digits.

    >>> short(12.0), short(12.345), short(-0.001)
    ('12', '12.35', '0')
    """
    text = f"{value:.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def percent(share: float) -> str:
    """Write a part of 1 as a length that is relative to what is around it."""
    return f"{short(100 * share)}%"


def _text(value: str | float) -> str:
    return str(escape(value if isinstance(value, str) else short(value)))
