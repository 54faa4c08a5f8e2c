"""The machine as a whole: configuration, estimation, history, corrections and the service around them."""

from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"

# The packages beside this one have common names; another installation's "models" would be found without a word.
for _name in ("models", "sensors", "alerts", "dashboards"):
    _found = find_spec(_name)
    if _found is None or _found.origin is None or Path(_found.origin).parent.parent != Path(__file__).parent.parent:
        _place = _found.origin if _found is not None else "nowhere"
        raise ImportError(
            f"ctwin needs its own package {_name!r}, but Python finds {_place}; install ctwin into an environment of its own"
        )
