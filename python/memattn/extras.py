"""What is not installed, and the extra that brings it."""

from __future__ import annotations

import importlib.util


def need(what: str, extra: str, *modules: str) -> None:
    """Raises ModuleNotFoundError, which says what to install, unless all modules are there.

    Parameters
    ----------
    what : str
        What needs them, for the message: ``"writing .onnx"``.
    extra : str
        The extra of this package that brings them.
    *modules : str
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        text = f"{what} needs: pip install 'memattn[{extra}]'"
        raise ModuleNotFoundError(text, name=missing[0])
