"""memattn leaves the state of the process unchanged: by its import, a fit and an error."""

import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

# Two functions that return MXCSR and the x87 control word, or twice FPCR on Arm.
FLOATING_POINT = """
#if defined(__x86_64__)
#include <xmmintrin.h>
unsigned rounding(void) { return _mm_getcsr() & ~0x3fu; } /* without the sticky flags */
unsigned precision(void) { unsigned short word; __asm__("fnstcw %0" : "=m"(word)); return word; }
#else
unsigned rounding(void) { unsigned long word; __asm__("mrs %0, fpcr" : "=r"(word)); return word; }
unsigned precision(void) { return rounding(); }
#endif
void flush_denormals(void) {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040u);
#else
  __asm__ volatile("msr fpcr, %0" : : "r"(1ul << 24));
#endif
}
"""

# Compares the state before and after each action of the program, and prints the differences.
WATCH = """
import ctypes, locale, os, random, signal, sys, threading, warnings
import numpy as np
fp = ctypes.CDLL(sys.argv[1])
locale.setlocale(locale.LC_ALL, sys.argv[2])
if sys.argv[3] == "flush":
    fp.flush_denormals()
random.seed(5)
np.random.seed(5)
warnings.simplefilter("error")
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
os.umask(0o027)
np.seterr(divide="raise", over="warn", under="ignore", invalid="raise")

def in_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append((fp.rounding(), fp.precision())))
    thread.start()
    thread.join()
    return found

def state():
    mask = os.umask(0)
    os.umask(mask)
    kind, *rest = np.random.get_state()
    return {
        "MXCSR": fp.rounding(),
        "x87 control word": fp.precision(),
        "floating point of a new thread": in_a_new_thread(),
        "locale": locale.setlocale(locale.LC_ALL),
        "random": random.getstate(),
        "numpy.random": (kind, rest[0].tolist(), *rest[1:]),
        "numpy.errstate": np.geterr(),
        "signal handlers": {n: signal.getsignal(n) for n in signal.valid_signals()},
        "signal mask": signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        "umask": mask,
        "environment": dict(os.environ),
        "working directory": os.getcwd(),
        "warning filters": list(warnings.filters),
        "switch interval": sys.getswitchinterval(),
        "excepthook": sys.excepthook,
    }

def unchanged_by(name, action):
    before = state()
    action()
    after = state()
    for key in before:
        if after[key] != before[key]:
            print(f"{name} changed {key}: {before[key]!r} became {after[key]!r}")
"""

ACTIONS = """
def load():
    global memattn
    import memattn, memattn.layer, memattn.optimizers, memattn._memattn

unchanged_by("import", load)
memattn.set_num_threads(3)
x = np.random.default_rng(0).standard_normal((8, 200, 16)).astype(np.float32)
x[0, 0] = 1e-40
layer = memattn.MemoryAugmentedAttention(16, 20, 4, seed=0, dropout=0.1)

def train():
    optimizer = memattn.Adam()
    for _ in range(3):
        layer(x, training=True)
        optimizer.step(layer, layer.backward(x, x, training=True))

unchanged_by("training a layer", train)

def fit(progress=None):
    options = {"units": 8, "memory_size": 4, "num_heads": 2, "min_history": 5, "batch_size": 64}
    model = memattn._memattn.PanelForecaster(
        horizon=3, season=4, lookbacks=[4], steps=20, **options)
    series, offsets = np.exp(np.arange(180) % 7.0), np.arange(7) * 30
    model.fit(series, offsets, progress)
    model.predict(series, offsets, np.arange(6), np.full(6, 30))

unchanged_by("fit", fit)

def fail():
    def wrong(*_):
        raise LookupError
    for action in (
        lambda: layer(x[..., :3]),
        lambda: memattn.MemoryAugmentedAttention(0, 1, 1),
        lambda: memattn.MemoryAugmentedAttention.load("no/such/file"),
        lambda: fit(wrong),
    ):
        try:
            action()
        except (ValueError, OSError, LookupError):
            pass
        else:
            print("no error")

unchanged_by("an error", fail)
print("done")
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("floating_point")
    source = folder / "floating_point.c"
    source.write_text(FLOATING_POINT)
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    target = folder / "floating_point.so"
    command = [compiler, "-shared", "-fPIC", "-o", str(target), str(source)]
    subprocess.run(command, check=True, timeout=60)
    return target


def run(library: Path, code: str, locale: str = "C", mode: str = "") -> tuple[int, str, str]:
    command = [sys.executable, "-c", WATCH + textwrap.dedent(code), str(library), locale, mode]
    child = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return child.returncode, child.stdout, child.stderr


@pytest.mark.parametrize("mode", ["", "flush"])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_the_state_of_the_process_is_unchanged(library: Path, locale: str, mode: str) -> None:
    assert run(library, ACTIONS, locale, mode) == (0, "done\n", "")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("fp.flush_denormals()", "MXCSR"),
        ("random.random()", "random"),
        ("np.random.random()", "numpy.random"),
        ("os.umask(0)", "umask"),
        ("os.environ.update(A='b')", "environment"),
        ("warnings.simplefilter('ignore')", "warning filters"),
        ("np.seterr(over='ignore')", "numpy.errstate"),
        ("signal.signal(signal.SIGUSR2, signal.SIG_IGN)", "signal handlers"),
        ("signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})", "signal mask"),
        ("locale.setlocale(locale.LC_ALL, 'C.UTF-8')", "locale"),
    ],
)
def test_a_change_of_the_state_is_detected(library: Path, change: str, key: str) -> None:
    status, stdout, stderr = run(library, f"unchanged_by('it', lambda: {change})")
    assert (status, stderr) == (0, "")
    assert f"it changed {key}: " in stdout
