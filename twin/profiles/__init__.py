"""Shipped systems, one TOML each: configurations to start from."""

from __future__ import annotations

from importlib.resources import files

from twin.config import Config, ConfigError, validate


def names() -> tuple[str, ...]:
    """Names of the shipped systems."""
    folder = files(__name__)
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def text(name: str) -> str:
    """The profile as it is written, comments included."""
    if name not in names():
        import difflib

        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names())}"
        raise ConfigError([f"no system named {name!r}; {hint}"])
    return (files(__name__) / f"{name}.toml").read_text(encoding="utf-8")


def load_profile(name: str) -> Config:
    """A shipped system as a validated configuration."""
    import tomllib

    return validate(tomllib.loads(text(name)), f"{name}.toml")
