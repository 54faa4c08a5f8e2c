"""What every file says about itself: scan, convention, what was applied, and where the numbers come from."""

from __future__ import annotations

from models.correction import Correction

APPLIED = "displacements of source, object and detector; not the flux; the projections themselves are unchanged"
SHIFT_APPLIED = (
    "the shift of a point on the rotation axis; neither magnification nor flux; the projections are unchanged"
)


def printable(text: str) -> str:
    """Text on one line, for comments and attributes: what can't be printed becomes ``?``.

    Examples
    --------
    >>> printable("scan\\n7")
    'scan?7'
    """
    return "".join(c if c.isprintable() else "?" for c in text)


def about(correction: Correction, name: str, words: dict[str, str]) -> dict[str, object]:
    """What a file of vectors says about itself, for JSON.

    Parameters
    ----------
    correction : Correction
    name : str
        Name of the format; the entry ``file`` becomes ``ctwin <name> 1``, the version of its layout.
    words : dict
        Frame, units and use of this format, in words.
    """
    return {
        "file": f"ctwin {name} 1",
        "scan": correction.scan,
        "projections": len(correction),
        **words,
        "applied": APPLIED,
        "source of the signs": correction.convention,
        "provenance": [list(pair) for pair in correction.provenance],
    }


def comments(correction: Correction) -> list[str]:
    """Lines for the head of a text file: the scan, then one line per entry of the provenance."""
    return [printable(f"{key}: {value}") for key, value in (("scan", correction.scan), *correction.provenance)]
