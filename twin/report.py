"""One HTML file with pictures and tables: opens anywhere, needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from twin import __version__

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1c2430;background:#fff}"
    "h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "td,th{padding:.25rem 1.2rem .25rem 0;border-bottom:1px solid #d8dde4;text-align:left;white-space:pre}"
    "svg{max-width:100%;height:auto}.note{background:#fff3cd;padding:.4rem .8rem;border-radius:.3rem;display:inline-block}"
    "footer{margin-top:3rem;color:#5b6675;font-size:.85rem}"
)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with a table (first row: head) or a picture."""

    title: str
    rows: Sequence[Sequence[str]] = ()
    svg: str = ""


def report(title: str, sections: Sequence[Section], *, simulated: bool) -> str:
    """The whole page as text."""
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>"
    ]
    if simulated:
        parts.append('<p class="note">Simulated: every reading in this report comes from ctwin\'s simulator.</p>')
    for section in sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        if section.rows:
            head, *body = section.rows
            parts.append("<table><tr>" + "".join(f"<th>{escape(c)}</th>" for c in head) + "</tr>")
            parts += ["<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in body]
            parts.append("</table>")
        if section.svg:
            parts.append(section.svg[section.svg.index("<svg") :])
    parts.append(f"<footer>ctwin {escape(__version__)}</footer></html>\n")
    return "\n".join(parts)
