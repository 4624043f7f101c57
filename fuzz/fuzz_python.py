"""Feeds arbitrary bytes to the Python readers, with Atheris, which is libFuzzer for Python.

    python fuzz/fuzz_python.py --list
    python fuzz/fuzz_python.py TARGET [LIBFUZZER_OPTION ...]

Inputs that reach new lines go to build/fuzz/python/TARGET, and findings to
build/fuzz/python/TARGET-crash-...; fuzz/corpus/TARGET is only read. requirements/tools.txt lists
the packages that it needs besides memattn.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

NAMES = (
    *("npy", "npz", "zip", "pickle", "hdf5_listing", "keras_config", "model_safetensors"),
    *("csv", "parquet", "forecaster", "checkpoint"),
)
FOLDER = Path(__file__).parent
DEFAULTS = ("-timeout=10", "-rss_limit_mb=2048", "-max_len=8192")


def main() -> None:
    """Run one target until libFuzzer ends the process."""
    if sys.argv[1:] == ["--list"]:
        print("\n".join(NAMES))
        return
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in NAMES:
        sys.exit(f"fuzz_python.py: found {name!r}, expected --list or one of {', '.join(NAMES)}")
    import atheris

    # Only memattn is instrumented and traced, not libraries such as json or pandas.
    with atheris.instrument_imports(include=["memattn"]):
        sys.path.insert(0, str(FOLDER))
        from python_targets import TARGETS, run

    assert tuple(TARGETS) == NAMES
    # Polars and PyArrow start a thread per core, which counts towards libFuzzer's memory limit.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    # Polars panics on some damaged files, and printing each stack slows runs and fills the log.
    os.environ["RUST_BACKTRACE"] = "0"
    found = Path("build/fuzz/python") / name
    found.mkdir(parents=True, exist_ok=True)
    options = [*DEFAULTS, f"-dict={FOLDER / 'python.dict'}", f"-artifact_prefix={found}-"]
    words = [*options, *sys.argv[2:], str(found), str(FOLDER / "corpus" / name)]
    atheris.Setup([sys.argv[0], *words], lambda data: run(name, data) and None)
    _exit_without_destructors()
    atheris.Fuzz()


def _exit_without_destructors() -> None:
    """Let exit() end the process at once.

    libFuzzer calls it while it holds the GIL. The destructors of PyArrow's thread pools would then
    wait for threads that may be waiting for the GIL, to release a buffer of Python.
    """
    import pyarrow as pa

    # Creates both pools: handlers run in reverse, so this one must be registered after theirs.
    pa.cpu_count(), pa.io_thread_count()
    libc = ctypes.CDLL(None)
    libc.on_exit(libc._exit, None)


if __name__ == "__main__":
    main()
