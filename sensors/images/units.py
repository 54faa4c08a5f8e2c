"""What a unit in a file says about the quantity."""

from __future__ import annotations

_MEANINGS = {
    "degc": ("temperature", "degC"), "°c": ("temperature", "degC"), "celsius": ("temperature", "degC"),
    "k": ("temperature", "K"), "kelvin": ("temperature", "K"),
    "kv": ("voltage", "kV"), "v": ("voltage", "V"),
    "a": ("current", "A"), "ma": ("current", "mA"), "ua": ("current", "uA"), "µa": ("current", "uA"), "na": ("current", "nA"),
    "w": ("power", "W"), "mw": ("power", "mW"), "counts": ("flux", "counts"),
    "m": ("displacement", "m"), "mm": ("displacement", "mm"), "um": ("displacement", "um"), "µm": ("displacement", "um"),
    "μm": ("displacement", "um"), "micron": ("displacement", "um"), "nm": ("displacement", "nm"),
    "deg": ("angle", "deg"), "degree": ("angle", "deg"), "degrees": ("angle", "deg"), "rad": ("angle", "rad"),
    "pa": ("pressure", "Pa"), "hpa": ("pressure", "hPa"), "mbar": ("pressure", "mbar"),
}  # fmt: skip


def meaning_of(unit: str) -> tuple[str, str] | None:
    """Quantity and unit of :data:`sensors.channel.UNITS` for a unit as files write it; None for one that says nothing.

    Examples
    --------
    >>> meaning_of("µm"), meaning_of("eV")
    (('displacement', 'um'), None)
    """
    return _MEANINGS.get(unit.strip().casefold())
