"""Optional dependencies, and the extras that install them."""

from __future__ import annotations

import importlib.util


def need(what: str, extra: str, *modules: str) -> None:
    """Raises ModuleNotFoundError, which says what to install, unless all modules are installed.

    Parameters
    ----------
    what : str
        What needs the modules, for the message: ``"writing .onnx"``.
    extra : str
        The extra of this package that installs them.
    *modules : str
        The names of the modules.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        text = f"{what} needs: pip install 'memattn[{extra}]'"
        raise ModuleNotFoundError(text, name=missing[0])
