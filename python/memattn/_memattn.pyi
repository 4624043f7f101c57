"""The compiled part of memattn; use the package, not this."""

from collections.abc import Callable, Mapping, Sequence
import os
from typing import Annotated, overload

import numpy
import numpy.typing
from numpy.typing import NDArray
from typing_extensions import CapsuleType


__version__: str

class FormatError(ValueError):
    """A file is not what docs/format.md says."""

class FileReplacedError(OSError):
    """The file is replaced, but a power cut may undo it."""

class ErrorScores:
    """Errors of windows as scores, in order."""

    @property
    def power(self) -> float:
        """Of roughness, that divided errors in logs."""

    def half_widths(self, logs: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu', writable=False)], roughness: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], change: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], level: float) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None))]:
        """How far intervals of windows reach (W, horizon)."""

def error_scores(errors: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], place: int, logs: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu', writable=False)], roughness: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], change: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], ages: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], half_life: float, apart: int, in_logs: bool) -> ErrorScores:
    """The scores of errors (n, K, horizon) at a place of K."""

def window_domains(values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], series: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], stops: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], season: int, logs: bool) -> tuple[Annotated[NDArray[numpy.bool_], dict(shape=(None,))], Annotated[NDArray[numpy.float64], dict(shape=(None,))], Annotated[NDArray[numpy.float64], dict(shape=(None,))], Annotated[NDArray[numpy.float64], dict(shape=(None,))]]:
    """Logs, roughness, change and least of windows (W,)."""

def half_life_of(season: int, horizon: int, apart: int) -> float:
    """The rows in which the weight of an error halves."""

def conformal_quantile(scores: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], level: float, weights: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], apart: int) -> Annotated[NDArray[numpy.float64], dict(shape=(None,))]:
    """The quantile of scores (n, horizon) of each step."""

def moved_ends(logs: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu', writable=False)], least: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], low: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], high: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], widths: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None, None))]:
    """Ends (2, W, horizon) of a level, moved by widths."""

def ends_between(logs: Annotated[NDArray[numpy.bool_], dict(shape=(None,), order='C', device='cpu', writable=False)], least: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], points: Annotated[NDArray[numpy.float64], dict(shape=(None, None), order='C', device='cpu', writable=False)], known: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None, None), order='C', device='cpu', writable=False)], levels: Sequence[float], level: float) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None, None))]:
    """
    Ends (2, W, horizon) of a level from those of others (K, 2, W, horizon).
    """

def fill_holes(values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> Annotated[NDArray[numpy.float64], dict(shape=(None,))]:
    """Values with straight lines in place of NaN."""

ROUGHNESS_POWERS: list = [0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0]

RECENT_ROWS: int = 168

SHARED_WINDOWS: float = 0.5

def write_file_atomically(path: str | os.PathLike, data: bytes) -> None:
    """
    Replace the file by `data`; see src/io/atomic_file.h for what holds when this throws.
    """

def check_file_writable(path: str | os.PathLike) -> None:
    """
    Raise what write_file_atomically would, as far as that shows without replacing the file.
    """

def remove_unfinished_files() -> None:
    """
    Remove the temporary files that this process is writing: before it ends itself.
    """

def printable(text: bytes) -> str:
    """UTF-8 with all that could steer a terminal escaped."""

class LayerFloat32:
    def __init__(self, config: str) -> None: ...

    @staticmethod
    def check_config(config: str) -> None:
        """Raises ValueError, naming the first option of the JSON that is wrong."""

    def read_parameters(self, out: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    def set_parameters(self, parameters: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

    def weight_infos(self) -> list: ...

    def config_json(self) -> str: ...

    def summary(self) -> str: ...

    def kept_bytes(self) -> int: ...

    def forced_route(self) -> str: ...

    def set_route(self, route: str) -> None: ...

    @staticmethod
    def load(path: str | os.PathLike) -> LayerFloat32: ...

    def save(self, path: str | os.PathLike, half: bool) -> None: ...

    def precision(self) -> str: ...

    def set_precision(self, precision: str) -> None: ...

    def forward(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], scores: Annotated[NDArray[numpy.float32], dict(order='C', device='cpu')] | None, average_heads: bool, attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, query_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, value_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_step: int, first_sequence: int) -> None:
        """
        Writes y (B, T, U) from x (B, T, U) and, unless it is None, scores (B, H, T, S), or
        (B, T, S) with average_heads. Masks hold bytes, 1 keeps: attention_mask (B, T, S), each
        of its sizes 1 or full, query_mask (B, T), value_mask (B, S).
        """

    def forward_plain(self, x: object | None, out: object | None) -> object:
        """
        Returns out (B, T, U), or a new array, for x (B, T, U) without masks and options; None,
        and has written nothing, where one of the two is not ready for the kernels.
        """

    def backward(self, x: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_y: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_x: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], grad_parameters: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, query_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, value_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_step: int, first_sequence: int) -> None:
        """
        Writes grad_x (B, T, U) and grad_parameters (P,), all weights in the order of
        weight_infos(), from x and grad_y (B, T, U) and the options of the forward call.
        """

    def route(self) -> str: ...

class LayerFloat64:
    def __init__(self, config: str) -> None: ...

    @staticmethod
    def check_config(config: str) -> None:
        """Raises ValueError, naming the first option of the JSON that is wrong."""

    def read_parameters(self, out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    def set_parameters(self, parameters: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

    def weight_infos(self) -> list: ...

    def config_json(self) -> str: ...

    def summary(self) -> str: ...

    def kept_bytes(self) -> int: ...

    def forced_route(self) -> str: ...

    def set_route(self, route: str) -> None: ...

    @staticmethod
    def load(path: str | os.PathLike) -> LayerFloat64: ...

    def save(self, path: str | os.PathLike, half: bool) -> None: ...

    def precision(self) -> str: ...

    def set_precision(self, precision: str) -> None: ...

    def forward(self, x: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], scores: Annotated[NDArray[numpy.float64], dict(order='C', device='cpu')] | None, average_heads: bool, attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, query_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, value_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_step: int, first_sequence: int) -> None:
        """
        Writes y (B, T, U) from x (B, T, U) and, unless it is None, scores (B, H, T, S), or
        (B, T, S) with average_heads. Masks hold bytes, 1 keeps: attention_mask (B, T, S), each
        of its sizes 1 or full, query_mask (B, T), value_mask (B, S).
        """

    def forward_plain(self, x: object | None, out: object | None) -> object:
        """
        Returns out (B, T, U), or a new array, for x (B, T, U) without masks and options; None,
        and has written nothing, where one of the two is not ready for the kernels.
        """

    def backward(self, x: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_y: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_x: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], grad_parameters: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, query_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, value_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_step: int, first_sequence: int) -> None:
        """
        Writes grad_x (B, T, U) and grad_parameters (P,), all weights in the order of
        weight_infos(), from x and grad_y (B, T, U) and the options of the forward call.
        """

    def route(self) -> str: ...

def layer_file_info(path: str | os.PathLike) -> tuple[str, str]:
    """The name of the layer that a file holds, and the dtype of its weights."""

def config_warnings(config: str) -> list[str]: ...

class CrossAttentionFloat32:
    def __init__(self, config: str) -> None: ...

    @staticmethod
    def check_config(config: str) -> None:
        """Raises ValueError, naming the first option of the JSON that is wrong."""

    def read_parameters(self, out: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    def set_parameters(self, parameters: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

    def weight_infos(self) -> list: ...

    def config_json(self) -> str: ...

    def summary(self) -> str: ...

    def kept_bytes(self) -> int: ...

    def forced_route(self) -> str: ...

    def set_route(self, route: str) -> None: ...

    @staticmethod
    def load(path: str | os.PathLike) -> CrossAttentionFloat32: ...

    def save(self, path: str | os.PathLike, half: bool) -> None: ...

    def precision(self) -> str: ...

    def set_precision(self, precision: str) -> None: ...

    def forward(self, x1: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], x2: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], scores: Annotated[NDArray[numpy.float32], dict(order='C', device='cpu')] | None, average_heads: bool, attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, query_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, value_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_step: int, first_sequence: int) -> None:
        """
        Writes y (B, T1, U) from x1 (B, T1, F1) and x2 (B, T2, F2) and, unless it is None,
        scores (B, H, T1, T2), or (B, T1, T2) with average_heads. Masks hold bytes, 1 keeps:
        attention_mask (B, T1, T2), each of its sizes 1 or full, query_mask (B, T1),
        value_mask (B, T2).
        """

    def backward(self, x1: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], x2: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_y: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_x1: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], grad_x2: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], grad_parameters: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, query_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, value_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_step: int, first_sequence: int) -> None:
        """
        Writes grad_x1 (B, T1, F1), grad_x2 (B, T2, F2) and grad_parameters (P,), all weights
        in the order of weight_infos(), from x1, x2, grad_y (B, T1, U) and the options of the
        forward call.
        """

    def route(self, batch: int, steps1: int, steps2: int, training: bool) -> str: ...

class CrossAttentionFloat64:
    def __init__(self, config: str) -> None: ...

    @staticmethod
    def check_config(config: str) -> None:
        """Raises ValueError, naming the first option of the JSON that is wrong."""

    def read_parameters(self, out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    def set_parameters(self, parameters: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

    def weight_infos(self) -> list: ...

    def config_json(self) -> str: ...

    def summary(self) -> str: ...

    def kept_bytes(self) -> int: ...

    def forced_route(self) -> str: ...

    def set_route(self, route: str) -> None: ...

    @staticmethod
    def load(path: str | os.PathLike) -> CrossAttentionFloat64: ...

    def save(self, path: str | os.PathLike, half: bool) -> None: ...

    def precision(self) -> str: ...

    def set_precision(self, precision: str) -> None: ...

    def forward(self, x1: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], x2: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], scores: Annotated[NDArray[numpy.float64], dict(order='C', device='cpu')] | None, average_heads: bool, attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, query_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, value_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_step: int, first_sequence: int) -> None:
        """
        Writes y (B, T1, U) from x1 (B, T1, F1) and x2 (B, T2, F2) and, unless it is None,
        scores (B, H, T1, T2), or (B, T1, T2) with average_heads. Masks hold bytes, 1 keeps:
        attention_mask (B, T1, T2), each of its sizes 1 or full, query_mask (B, T1),
        value_mask (B, T2).
        """

    def backward(self, x1: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], x2: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_y: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_x1: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], grad_x2: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], grad_parameters: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, query_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, value_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_step: int, first_sequence: int) -> None:
        """
        Writes grad_x1 (B, T1, F1), grad_x2 (B, T2, F2) and grad_parameters (P,), all weights
        in the order of weight_infos(), from x1, x2, grad_y (B, T1, U) and the options of the
        forward call.
        """

    def route(self, batch: int, steps1: int, steps2: int, training: bool) -> str: ...

class HierarchicalAttentionFloat32:
    def __init__(self, config: str) -> None: ...

    @staticmethod
    def check_config(config: str) -> None:
        """Raises ValueError, naming the first option of the JSON that is wrong."""

    def read_parameters(self, out: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    def set_parameters(self, parameters: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

    def weight_infos(self) -> list: ...

    def config_json(self) -> str: ...

    def summary(self) -> str: ...

    def kept_bytes(self) -> int: ...

    def forced_route(self) -> str: ...

    def set_route(self, route: str) -> None: ...

    @staticmethod
    def load(path: str | os.PathLike) -> HierarchicalAttentionFloat32: ...

    def save(self, path: str | os.PathLike, half: bool) -> None: ...

    def precision(self) -> str: ...

    def set_precision(self, precision: str) -> None: ...

    def forward(self, x_short: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], x_long: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], short_scores: Annotated[NDArray[numpy.float32], dict(order='C', device='cpu')] | None, long_scores: Annotated[NDArray[numpy.float32], dict(order='C', device='cpu')] | None, average_heads: bool, short_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, long_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_sequence: int) -> None:
        """
        Writes y (B, T, U) from x_short (B, T, Fs) and x_long (B, T, Fl) and, unless they are
        None, the scores of both sides (B, H, T, T), or (B, T, T) with average_heads. Masks
        hold bytes, 1 keeps: short_mask and long_mask (B, T), attention_mask (B, T, T), each
        of its sizes 1 or full.
        """

    def backward(self, x_short: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], x_long: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_y: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_short: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], grad_long: Annotated[NDArray[numpy.float32], dict(shape=(None, None, None), order='C', device='cpu')], grad_parameters: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], short_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, long_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_sequence: int) -> None:
        """
        Writes grad_short (B, T, Fs), grad_long (B, T, Fl) and grad_parameters (P,), all
        weights in the order of weight_infos(), from x_short, x_long, grad_y (B, T, U) and the
        options of the forward call.
        """

    def route(self, batch: int, steps: int, training: bool) -> tuple[str, str]: ...

class HierarchicalAttentionFloat64:
    def __init__(self, config: str) -> None: ...

    @staticmethod
    def check_config(config: str) -> None:
        """Raises ValueError, naming the first option of the JSON that is wrong."""

    def read_parameters(self, out: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    def set_parameters(self, parameters: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

    def weight_infos(self) -> list: ...

    def config_json(self) -> str: ...

    def summary(self) -> str: ...

    def kept_bytes(self) -> int: ...

    def forced_route(self) -> str: ...

    def set_route(self, route: str) -> None: ...

    @staticmethod
    def load(path: str | os.PathLike) -> HierarchicalAttentionFloat64: ...

    def save(self, path: str | os.PathLike, half: bool) -> None: ...

    def precision(self) -> str: ...

    def set_precision(self, precision: str) -> None: ...

    def forward(self, x_short: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], x_long: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], y: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], short_scores: Annotated[NDArray[numpy.float64], dict(order='C', device='cpu')] | None, long_scores: Annotated[NDArray[numpy.float64], dict(order='C', device='cpu')] | None, average_heads: bool, short_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, long_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_sequence: int) -> None:
        """
        Writes y (B, T, U) from x_short (B, T, Fs) and x_long (B, T, Fl) and, unless they are
        None, the scores of both sides (B, H, T, T), or (B, T, T) with average_heads. Masks
        hold bytes, 1 keeps: short_mask and long_mask (B, T), attention_mask (B, T, T), each
        of its sizes 1 or full.
        """

    def backward(self, x_short: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], x_long: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_y: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu', writable=False)], grad_short: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], grad_long: Annotated[NDArray[numpy.float64], dict(shape=(None, None, None), order='C', device='cpu')], grad_parameters: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], short_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, long_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None, attention_mask: Annotated[NDArray[numpy.uint8], dict(shape=(None, None, None), order='C', device='cpu', writable=False)] | None, use_causal_mask: bool, training: bool, dropout_step: int, first_sequence: int) -> None:
        """
        Writes grad_short (B, T, Fs), grad_long (B, T, Fl) and grad_parameters (P,), all
        weights in the order of weight_infos(), from x_short, x_long, grad_y (B, T, U) and the
        options of the forward call.
        """

    def route(self, batch: int, steps: int, training: bool) -> tuple[str, str]: ...

def cheapest_pair_route(*, units: int, source1_units: int, source2_units: int, num_heads: int, key_dim: int, value_dim: int, one_source: bool, batch: int, steps1: int, steps2: int, training: bool) -> str:
    """
    The route of the least cost (docs/siblings-math.md) of one attention between two inputs,
    for hosts that compute in operators of their own. one_source says that both inputs are one
    and the same, through one Dense.
    """

def hold_bfloat16(floats: Sequence[int], halves: Sequence[int], sizes: Sequence[int]) -> bool:
    """
    Whether float32 arrays at these addresses, of these sizes, are the bfloat16 numbers at
    the others, bit by bit.
    """

class HostedOptions:
    pass

def hosted_options(attention_mask: int, mask_batch: int, mask_steps: int, mask_slots: int, query_mask: int, queries: int, value_mask: int, values: int, use_causal_mask: bool, training: bool, dropout_step: int, first_step: int, first_sequence: int, threads: int) -> HostedOptions:
    """
    Options of a call, for forward and backward.

    Masks are addresses of bytes, 1 keeps, or 0 for none: attention_mask (mask_batch,
    mask_steps, mask_slots), each 1 or B, T, S; query_mask (B, T), `queries` bytes; value_mask
    (B, S), `values` bytes. S is the number of slots or of steps of the second input. For
    HierarchicalAttention the masks of its inputs stand in the places of query_mask and
    value_mask. They must stay there until the calls have returned.
    """

class HostedFloat32:
    def __init__(self, config: str, route: str = 'auto') -> None: ...

    def fold(self, weights: Sequence[int], threads: int) -> CapsuleType:
        """
        The weights at these addresses, one for each weight and in the order of a file, folded:
        made anew when a value has changed.
        """

    @property
    def folds(self) -> int: ...

    @staticmethod
    def forward(folded: CapsuleType, options: HostedOptions, batch: int, steps: int, x: int, y: int, scores: int, average_heads: bool, keep: bool) -> None:
        """
        Writes y (B, T, U) from x (B, T, U) and, unless its address is 0, scores
        (B, H, T, S), or (B, T, S) with average_heads. With keep, `folded` holds the
        scores for backward. All addresses are those of contiguous arrays.
        """

    @staticmethod
    def backward(folded: CapsuleType, options: HostedOptions, batch: int, steps: int, x: int, grad_y: int, grad_x: int, grad_parameters: int) -> None:
        """
        Writes grad_x (B, T, U), unless its address is 0, and grad_parameters (P,), all
        weights in the order of a file, from x and grad_y (B, T, U).
        """

class HostedFloat64:
    def __init__(self, config: str, route: str = 'auto') -> None: ...

    def fold(self, weights: Sequence[int], threads: int) -> CapsuleType:
        """
        The weights at these addresses, one for each weight and in the order of a file, folded:
        made anew when a value has changed.
        """

    @property
    def folds(self) -> int: ...

    @staticmethod
    def forward(folded: CapsuleType, options: HostedOptions, batch: int, steps: int, x: int, y: int, scores: int, average_heads: bool, keep: bool) -> None:
        """
        Writes y (B, T, U) from x (B, T, U) and, unless its address is 0, scores
        (B, H, T, S), or (B, T, S) with average_heads. With keep, `folded` holds the
        scores for backward. All addresses are those of contiguous arrays.
        """

    @staticmethod
    def backward(folded: CapsuleType, options: HostedOptions, batch: int, steps: int, x: int, grad_y: int, grad_x: int, grad_parameters: int) -> None:
        """
        Writes grad_x (B, T, U), unless its address is 0, and grad_parameters (P,), all
        weights in the order of a file, from x and grad_y (B, T, U).
        """

class HostedCrossAttentionFloat32:
    def __init__(self, config: str, route: str = 'auto') -> None: ...

    def fold(self, weights: Sequence[int], threads: int) -> CapsuleType:
        """
        The weights at these addresses, one for each weight and in the order of a file, folded:
        made anew when a value has changed.
        """

    @property
    def folds(self) -> int: ...

    @staticmethod
    def forward(folded: CapsuleType, options: HostedOptions, batch: int, steps1: int, steps2: int, x1: int, x2: int, y: int, scores: int, average_heads: bool) -> None:
        """
        Writes y (B, T1, U) from x1 (B, T1, F1) and x2 (B, T2, F2) and, unless its
        address is 0, scores (B, H, T1, T2), or (B, T1, T2) with average_heads. All
        addresses are those of contiguous arrays.
        """

    @staticmethod
    def backward(folded: CapsuleType, options: HostedOptions, batch: int, steps1: int, steps2: int, x1: int, x2: int, grad_y: int, grad_x1: int, grad_x2: int, grad_parameters: int) -> None:
        """
        Writes grad_x1 (B, T1, F1) and grad_x2 (B, T2, F2), unless their addresses are 0, and
        grad_parameters (P,), all weights in the order of a file, from x1, x2 and grad_y
        (B, T1, U).
        """

class HostedCrossAttentionFloat64:
    def __init__(self, config: str, route: str = 'auto') -> None: ...

    def fold(self, weights: Sequence[int], threads: int) -> CapsuleType:
        """
        The weights at these addresses, one for each weight and in the order of a file, folded:
        made anew when a value has changed.
        """

    @property
    def folds(self) -> int: ...

    @staticmethod
    def forward(folded: CapsuleType, options: HostedOptions, batch: int, steps1: int, steps2: int, x1: int, x2: int, y: int, scores: int, average_heads: bool) -> None:
        """
        Writes y (B, T1, U) from x1 (B, T1, F1) and x2 (B, T2, F2) and, unless its
        address is 0, scores (B, H, T1, T2), or (B, T1, T2) with average_heads. All
        addresses are those of contiguous arrays.
        """

    @staticmethod
    def backward(folded: CapsuleType, options: HostedOptions, batch: int, steps1: int, steps2: int, x1: int, x2: int, grad_y: int, grad_x1: int, grad_x2: int, grad_parameters: int) -> None:
        """
        Writes grad_x1 (B, T1, F1) and grad_x2 (B, T2, F2), unless their addresses are 0, and
        grad_parameters (P,), all weights in the order of a file, from x1, x2 and grad_y
        (B, T1, U).
        """

class HostedHierarchicalAttentionFloat32:
    def __init__(self, config: str, route: str = 'auto') -> None: ...

    def fold(self, weights: Sequence[int], threads: int) -> CapsuleType:
        """
        The weights at these addresses, one for each weight and in the order of a file, folded:
        made anew when a value has changed.
        """

    @property
    def folds(self) -> int: ...

    @staticmethod
    def forward(folded: CapsuleType, options: HostedOptions, batch: int, steps: int, x_short: int, x_long: int, y: int, short_scores: int, long_scores: int, average_heads: bool) -> None:
        """
        Writes y (B, T, U) from x_short (B, T, Fs) and x_long (B, T, Fl) and, unless
        their addresses are 0, the scores of both sides (B, H, T, T), or (B, T, T) with
        average_heads. All addresses are those of contiguous arrays.
        """

    @staticmethod
    def backward(folded: CapsuleType, options: HostedOptions, batch: int, steps: int, x_short: int, x_long: int, grad_y: int, grad_short: int, grad_long: int, grad_parameters: int) -> None:
        """
        Writes grad_short (B, T, Fs) and grad_long (B, T, Fl), unless their addresses are 0,
        and grad_parameters (P,), all weights in the order of a file, from x_short, x_long and
        grad_y (B, T, U).
        """

class HostedHierarchicalAttentionFloat64:
    def __init__(self, config: str, route: str = 'auto') -> None: ...

    def fold(self, weights: Sequence[int], threads: int) -> CapsuleType:
        """
        The weights at these addresses, one for each weight and in the order of a file, folded:
        made anew when a value has changed.
        """

    @property
    def folds(self) -> int: ...

    @staticmethod
    def forward(folded: CapsuleType, options: HostedOptions, batch: int, steps: int, x_short: int, x_long: int, y: int, short_scores: int, long_scores: int, average_heads: bool) -> None:
        """
        Writes y (B, T, U) from x_short (B, T, Fs) and x_long (B, T, Fl) and, unless
        their addresses are 0, the scores of both sides (B, H, T, T), or (B, T, T) with
        average_heads. All addresses are those of contiguous arrays.
        """

    @staticmethod
    def backward(folded: CapsuleType, options: HostedOptions, batch: int, steps: int, x_short: int, x_long: int, grad_y: int, grad_short: int, grad_long: int, grad_parameters: int) -> None:
        """
        Writes grad_short (B, T, Fs) and grad_long (B, T, Fl), unless their addresses are 0,
        and grad_parameters (P,), all weights in the order of a file, from x_short, x_long and
        grad_y (B, T, U).
        """

class OptimizerFloat32:
    @staticmethod
    def sgd(learning_rate: float, momentum: float, nesterov: bool) -> OptimizerFloat32: ...

    @staticmethod
    def adam(learning_rate: float, beta_1: float, beta_2: float, epsilon: float, weight_decay: float) -> OptimizerFloat32: ...

    @staticmethod
    def adamw(learning_rate: float, beta_1: float, beta_2: float, epsilon: float, weight_decay: float) -> OptimizerFloat32: ...

    @staticmethod
    def load_sgd(path: str | os.PathLike) -> OptimizerFloat32: ...

    @staticmethod
    def load_adam(path: str | os.PathLike) -> OptimizerFloat32: ...

    @staticmethod
    def load_adamw(path: str | os.PathLike) -> OptimizerFloat32: ...

    @overload
    def step(self, layer: LayerFloat32, gradients: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    @overload
    def step(self, layer: CrossAttentionFloat32, gradients: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    @overload
    def step(self, layer: HierarchicalAttentionFloat32, gradients: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    def set_learning_rate(self, learning_rate: float) -> None: ...

    def learning_rate(self) -> float: ...

    def iterations(self) -> int: ...

    def options(self) -> dict: ...

    def state(self) -> dict: ...

    def restore(self, learning_rate: float, iterations: int, parameters: int, moments: Mapping[str, Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]]) -> None: ...

    def save(self, path: str | os.PathLike) -> None: ...

@overload
def clip_by_global_norm(gradients: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu')], max_norm: float) -> float: ...

@overload
def clip_by_global_norm(gradients: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')], max_norm: float) -> float: ...

class OptimizerFloat64:
    @staticmethod
    def sgd(learning_rate: float, momentum: float, nesterov: bool) -> OptimizerFloat64: ...

    @staticmethod
    def adam(learning_rate: float, beta_1: float, beta_2: float, epsilon: float, weight_decay: float) -> OptimizerFloat64: ...

    @staticmethod
    def adamw(learning_rate: float, beta_1: float, beta_2: float, epsilon: float, weight_decay: float) -> OptimizerFloat64: ...

    @staticmethod
    def load_sgd(path: str | os.PathLike) -> OptimizerFloat64: ...

    @staticmethod
    def load_adam(path: str | os.PathLike) -> OptimizerFloat64: ...

    @staticmethod
    def load_adamw(path: str | os.PathLike) -> OptimizerFloat64: ...

    @overload
    def step(self, layer: LayerFloat64, gradients: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    @overload
    def step(self, layer: CrossAttentionFloat64, gradients: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    @overload
    def step(self, layer: HierarchicalAttentionFloat64, gradients: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu')]) -> None: ...

    def set_learning_rate(self, learning_rate: float) -> None: ...

    def learning_rate(self) -> float: ...

    def iterations(self) -> int: ...

    def options(self) -> dict: ...

    def state(self) -> dict: ...

    def restore(self, learning_rate: float, iterations: int, parameters: int, moments: Mapping[str, Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)]]) -> None: ...

    def save(self, path: str | os.PathLike) -> None: ...

def optimizer_file_dtype(path: str | os.PathLike) -> str: ...

class PanelForecaster:
    """An ensemble of networks for many series."""

    def __init__(self, *, horizon: int, lookbacks: Sequence[int], season: int = 1, long_season: int = 0, seeds: int = 1, min_history: int = 1, windows: str = 'last_values', logs: bool = True, covariates: int = 0, blocks: Sequence[tuple[int, int, int, int]] = [], origin_stride: int = 1, units: int = 64, memory_size: int = 32, num_heads: int = 4, layers: int = 2, member_layers: Sequence[int] = [], pre_norm: bool = False, dropout: float = 0.0, input_dropout: float = 0.0, zero_memory: bool = False, loss: str = 'smape', huber_delta: float = 1.0, quantiles: Sequence[float] = [], steps: int = 600, batch_size: int = 512, learning_rate: float = 0.001, warm_up: int = 100, weight_decay: float = 0.01, clip_norm: float = 1.0, average_decay: float = 0.0, seed: int = 0) -> None: ...

    @staticmethod
    def count_weights(*, horizon: int, lookbacks: Sequence[int], season: int = 1, long_season: int = 0, seeds: int = 1, min_history: int = 1, windows: str = 'last_values', logs: bool = True, covariates: int = 0, blocks: Sequence[tuple[int, int, int, int]] = [], origin_stride: int = 1, units: int = 64, memory_size: int = 32, num_heads: int = 4, layers: int = 2, member_layers: Sequence[int] = [], pre_norm: bool = False, dropout: float = 0.0, input_dropout: float = 0.0, zero_memory: bool = False, loss: str = 'smape', huber_delta: float = 1.0, quantiles: Sequence[float] = [], steps: int = 600, batch_size: int = 512, learning_rate: float = 0.001, warm_up: int = 100, weight_decay: float = 0.01, clip_norm: float = 1.0, average_decay: float = 0.0, seed: int = 0) -> list[int]:
        """The weights of each member, counted without making one."""

    @property
    def members(self) -> int: ...

    def count_params(self) -> int: ...

    def parameters(self, member: int) -> Annotated[NDArray[numpy.float32], dict(shape=(None,))]:
        """A copy of the weights of one member, flat."""

    def set_parameters(self, member: int, parameters: Annotated[NDArray[numpy.float32], dict(shape=(None,), order='C', device='cpu', writable=False)]) -> None: ...

    def fit(self, values: numpy.typing.NDArray[numpy.float64], offsets: numpy.typing.NDArray[numpy.int64], progress: Callable[[int, int, float], object] | None = None, covariates: numpy.typing.NDArray[numpy.float32] | None = None) -> bool:
        """
        Trains all members on the series values[offsets[i]:offsets[i + 1]]; progress(step,
        steps, loss) is called at most every 50 ms and after the last step, and stops the
        training by returning False. covariates is a table with a row for each value and, after
        each series, `horizon` rows more, of as many columns as the options say.
        """

    def training_state(self) -> tuple[int, list[Annotated[NDArray[numpy.float32], dict(shape=(None,))]]]:
        """
        Where a fit that was stopped stands: steps done, and a flat array for each member.
        """

    def resume(self, values: numpy.typing.NDArray[numpy.float64], offsets: numpy.typing.NDArray[numpy.int64], steps_done: int, members: list[numpy.typing.NDArray[numpy.float32]], progress: Callable[[int, int, float], object] | None = None, covariates: numpy.typing.NDArray[numpy.float32] | None = None) -> bool:
        """
        Goes on from training_state(), with the bits of a fit that was never stopped.
        """

    def predict(self, values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], series: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], times: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], member: int = -1, covariates: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None = None, half: bool = False) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None, None))]:
        """
        Forecasts (N, outputs, horizon) from the first times[i] values of series[i], of one
        member or, with -1, of all together; with half the memory layers multiply in bfloat16.
        """

    def predict_with_memory_of(self, values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], series: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], times: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], donor_series: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], donor_times: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], covariates: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None = None) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None, None))]:
        """
        Forecasts (N, outputs, horizon) as predict, but the memory layers add to each origin
        what they add at its donor, another origin.
        """

    def attention_scores(self, values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], series: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], times: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], member: int, covariates: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None = None) -> Annotated[NDArray[numpy.float32], dict(shape=(None, None, None))]:
        """
        How one member shares its attention among the slots (N, its layers, memory_size), the
        mean over heads; those of an origin and a layer sum to 1.
        """

    def predict_without_slots(self, values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], offsets: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], series: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], times: Annotated[NDArray[numpy.int64], dict(shape=(None,), order='C', device='cpu', writable=False)], member: int, layer: int, covariates: Annotated[NDArray[numpy.float32], dict(shape=(None, None), order='C', device='cpu', writable=False)] | None = None) -> Annotated[NDArray[numpy.float64], dict(shape=(None, None, None, None))]:
        """
        Forecasts (memory_size, N, outputs, horizon) of one member without one slot of a
        memory layer, each slot in turn: the other slots are read instead.
        """

class QuickForecaster:
    """Forecasts of one series by networks of others, as in C++."""

    @staticmethod
    def load(path: str | os.PathLike) -> QuickForecaster:
        """Read a file that Forecaster.pretrain and save made."""

    @staticmethod
    def from_bytes(content: bytes) -> QuickForecaster:
        """Read the content of such a file."""

    @property
    def season(self) -> int:
        """Rows after which the series repeat."""

    @property
    def horizon(self) -> int:
        """The most rows ahead."""

    @property
    def levels(self) -> list[float]:
        """The levels in percent whose bounds were trained."""

    def forecast(self, values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], horizon: int, levels: Sequence[float] = []) -> tuple[Annotated[NDArray[numpy.float64], dict(shape=(None,))], Annotated[NDArray[numpy.float64], dict(shape=(None, None, None))]]:
        """
        Forecasts (horizon,) and bounds (levels, 2, horizon) of the rows after a series.
        """

class SavedForecaster:
    """Forecasts by what Forecaster.save wrote, as in C++."""

    @staticmethod
    def load(path: str | os.PathLike) -> SavedForecaster:
        """Read a file of Forecaster.save."""

    @staticmethod
    def from_bytes(content: bytes) -> SavedForecaster:
        """Read the content of such a file."""

    @property
    def horizon(self) -> int:
        """The most rows ahead."""

    @property
    def season(self) -> int:
        """Rows after which the series repeat."""

    @property
    def has_intervals(self) -> bool:
        """Whether bounds can be had."""

    @property
    def levels(self) -> list[float]:
        """The only levels in percent that can be had; none: any."""

    @property
    def ids(self) -> list[str]:
        """The names of the series."""

    def find(self, id: str) -> int | None:
        """The place of a series, or None."""

    def forecast(self, values: Annotated[NDArray[numpy.float64], dict(shape=(None,), order='C', device='cpu', writable=False)], horizon: int, levels: Sequence[float] = []) -> tuple[Annotated[NDArray[numpy.float64], dict(shape=(None,))], Annotated[NDArray[numpy.float64], dict(shape=(None, None, None))]]:
        """
        Forecasts (horizon,) and bounds (levels, 2, horizon) of the rows after a series.
        """

    def forecast_series(self, series: int, horizon: int, levels: Sequence[float] = []) -> tuple[Annotated[NDArray[numpy.float64], dict(shape=(None,))], Annotated[NDArray[numpy.float64], dict(shape=(None, None, None))]]:
        """The same of a series of the file."""

def num_threads() -> int:
    """
    Threads that one call may use, the calling thread included.

    Unless set_num_threads was called, that is MEMATTN_NUM_THREADS, or without it the number
    of processors that this thread may run on, within the control group's CPU quota. Results
    never depend on it, bit for bit.
    """

def set_num_threads(threads: int) -> None:
    """
    Set how many threads one call may use, 1 to 1024, for the whole process.
    """

def active_isa() -> str:
    """
    The instruction set that computes: "avx3_bf16", "avx3", "avx2", "sse4", "neon" or
    "scalar".

    The best that this machine has, or the one that the environment variable
    MEMATTN_FORCE_ISA names. Raises ValueError when it names one that is not available.
    """

def scratch_bytes() -> int:
    """
    Bytes of scratch that the calling thread holds between calls.

    Each thread that calls a layer keeps the buffer that its largest call so far needed, so
    that later calls allocate nothing.
    """

def release_scratch() -> None:
    """
    Free the calling thread's scratch; its next call allocates what it needs.
    """

def set_leak_warnings(value: bool) -> None:
    """
    Whether the end of the process reports the objects of this extension that are still alive.
    """
