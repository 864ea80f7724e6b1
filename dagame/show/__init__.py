"""Text, tables and pictures for terminals, notebooks and pages. Knows no game."""


def __getattr__(name: str) -> object:
    """A file of the room, such as `plots`, loaded when it is asked for, as it loads matplotlib."""
    from importlib import import_module

    if name in ("figure", "path", "plots", "summaries", "triangle"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
