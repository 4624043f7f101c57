"""The methods of fusionlab's learners: parameters by name, files, a summary, help."""

from __future__ import annotations

import inspect
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from memattn.files import write_atomically
from memattn.keras.host import Layer, keras

Format = Literal["safetensors", "json"]
_FORMATS = '"safetensors" or "json"'
_GET = {
    "initializer": keras.initializers.get,
    "regularizer": keras.regularizers.get,
    "constraint": keras.constraints.get,
}
_SERIALIZE = {
    "initializer": keras.initializers.serialize,
    "regularizer": keras.regularizers.serialize,
    "constraint": keras.constraints.serialize,
}

Initializer: TypeAlias = Any  # an argument of keras.initializers.get, and so on
Regularizer: TypeAlias = Any
Constraint: TypeAlias = Any


class _Call:
    """The constructor call of the class with all its parameters, as text."""

    def __get__(self, instance: object, owner: type) -> str:
        parts = [str(p.replace(annotation=p.empty)) for p in parameters(owner).values()]
        inline = ", ".join(parts)
        if len(parts) > 5:
            inline = "\n    " + ",\n    ".join(parts) + "\n"
        return f"{owner.__name__}({inline})"


def parameters(owner: type) -> dict[str, inspect.Parameter]:
    """Return the parameters of the constructor, without those passed on to Keras."""
    signature = inspect.signature(owner.__init__)  # type: ignore[misc]
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    named = {n: p for n, p in signature.parameters.items() if p.kind not in kinds}
    named.pop("self")
    return named


class Learner(Layer):  # type: ignore[misc]
    """The methods of fusionlab's ``NNLearner`` for a layer, without pickles.

    Files hold the layer's weights and options in the format of docs/format.md, which the NumPy
    layer, C++ and the other frameworks read too.
    """

    # The NumPy layer of the same name, and the options that both have.
    _numpy_class: ClassVar[Any]
    _shared_options: ClassVar[tuple[str, ...]]
    # Attributes that are not options; `replace` sets them on a layer whose class it changes.
    _fresh: ClassVar[tuple[str, ...]]

    my_params = _Call()

    @classmethod
    def help(cls) -> None:
        """Show the documentation of the class."""
        help(cls)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name; none of them has parameters of its own."""
        return {name: getattr(self, name) for name in sorted(parameters(type(self)))}

    def set_params(self, **params: Any) -> Any:
        """Change parameters by name before the layer is built.

        Raises
        ------
        ValueError
            If a name is unknown, a value is invalid, or a value differs and the layer is already
            built.
        """
        current = self.get_params()
        for name in params:
            if name not in current:
                known = ", ".join(current)
                raise ValueError(f"set_params: found parameter {name!r}, expected one of {known}")
        changed = {n: v for n, v in params.items() if v is not current[n] and v != current[n]}
        if changed and self.built:
            raise ValueError(
                f"set_params: cannot change {', '.join(changed)} after the layer is built; make a "
                "new layer with from_config"
            )
        if changed:
            self._set_options(**{**current, **changed})
        return self

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments of this layer as JSON-serialisable values."""
        config: dict[str, Any] = super().get_config()
        for name in parameters(type(self)):
            serialize = _SERIALIZE.get(name.rpartition("_")[2])
            value = getattr(self, name)
            config[name] = value if serialize is None or value is None else serialize(value)
        return config

    def summary(self) -> str:
        """Return a table of the parameters, the weights and the route."""
        lines = [f"{type(self).__name__} Summary:"]
        for name, value in self.get_params(deep=False).items():
            plain = value is None or isinstance(value, (bool, int, float, str))
            lines.append(f"{name}: {value if plain else type(value).__name__}")
        if self.built:
            for name, weight in zip(self._weight_names(), self.weights, strict=True):
                lines.append(f"{name}: {tuple(weight.shape)}")
            lines += [f"weights: {self.count_params()}", f"route: {self.route}"]
        else:
            lines.append("weights: none yet, the layer is not built")
        return "\n".join(lines)

    def save(
        self,
        file_path: str | os.PathLike[str] | None = None,
        format: Format = "safetensors",
        overwrite: bool = False,
        validate_func: Callable[[Any], bool] | None = None,
    ) -> bool:
        """Write the layer to a file, atomically.

        Parameters
        ----------
        file_path : path
            Where to.
        format : {"safetensors", "json"}
            ``"safetensors"`` for weights and options, ``"json"`` for the options only.
        overwrite : bool
            Whether to replace an existing file.
        validate_func : callable, optional
            Called with the layer; if it returns False, nothing is written.

        Returns
        -------
        bool
            Whether the file was written.

        Raises
        ------
        ValueError
            If there is no path, the format is unknown, or the layer is not built.
        FileExistsError
            If the file exists and `overwrite` is false.
        """
        if file_path is None:
            raise ValueError("save: file_path: found None, expected a path")
        _check_format("save", format)
        if validate_func is not None and not validate_func(self):
            return False
        path = Path(file_path)
        if path.exists() and not overwrite:
            raise FileExistsError(f"save: {path} exists; pass overwrite=True to replace it")
        layer = self._numpy_layer()
        if format == "safetensors":
            layer.save(path)
        else:
            write_atomically(path, (json.dumps(layer.get_config(), indent=2) + "\n").encode())
        return True

    def load(self, file_path: str | os.PathLike[str], format: Format = "safetensors") -> bool:
        """Load weights and options, or the options only, from a file that `save` wrote.

        A layer that is not built takes the options of the file; a built layer must have the same
        options.

        Returns
        -------
        bool
            True.

        Raises
        ------
        memattn.FormatError
            If the file does not follow docs/format.md.
        OSError
            If the file cannot be read.
        ValueError
            If the file holds a layer with other options.
        """
        _check_format("load", format)
        path = Path(file_path)
        layer = self._numpy_class.load(path) if format == "safetensors" else None
        options = self._read_options(path) if layer is None else layer.get_config()
        if not self.built:
            self.set_params(**{name: options[name] for name in self._shared_options})
        for name, value in self._options().items():
            if self._expected(options, name) != value:
                found = f"{name}={options[name]!r}"
                raise ValueError(f"load: {path}: found {found}, expected {value!r}, as here")
        if layer is not None:
            if not self.built:
                self.build(self._input_shape_of(options))
            self.set_weights(layer.get_weights())
        return True

    def _keep_options(self, options: dict[str, Any]) -> None:
        """Set checked options of the constructor as attributes."""
        for name, value in options.items():
            get = _GET.get(name.rpartition("_")[2])
            setattr(self, name, value if get is None else get(value))

    def _options(self) -> dict[str, Any]:
        """Return the options that must be equal to exchange weights."""
        return {name: getattr(self, name) for name in self._shared_options}

    def _expected(self, options: Mapping[str, Any], name: str) -> Any:
        """Return the value that an option of a file requires of this layer."""
        return options[name]

    def _set_options(self, **options: Any) -> None:
        """Check the options of the constructor and set them as attributes."""
        raise NotImplementedError

    def _note_widths(self) -> None:
        """Set the widths of the inputs from the weights, of a layer that was built elsewhere."""
        raise NotImplementedError

    def _input_shape_of(self, options: Mapping[str, Any]) -> Any:
        """Return the input shape to build a layer with the options of a file."""
        raise NotImplementedError

    def _numpy_options(self) -> dict[str, Any]:
        """Return options of the NumPy layer that differ in form here; raise if there is none."""
        raise NotImplementedError

    def _weight_names(self) -> list[str]:
        """Return the names of the weights in the other frameworks, in the common order."""
        raise NotImplementedError

    def _numpy_layer(self) -> Any:
        """Return the NumPy layer with these options and weights, which reads and writes files."""
        if not self.built:
            raise ValueError("save: this layer is not built; call it or build() first")
        options = {**self._options(), **self._numpy_options()}
        weights = [np.asarray(weight) for weight in self.get_weights()]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about a memory initialised with zeros
            layer = self._numpy_class(
                **options,
                seed=self.seed or 0,
                dtype="float64" if weights[0].dtype == np.float64 else "float32",
            )
        layer.set_weights(weights)
        return layer

    def _read_options(self, path: Path) -> dict[str, Any]:
        try:
            options = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"load: {path}: this is not valid JSON ({error})") from None
        names = self._shared_options
        missing = [n for n in names if not isinstance(options, dict) or n not in options]
        if missing:
            raise ValueError(f"load: {path}: lacks the options {', '.join(missing)}")
        return dict(options)


def names_of_projections(prefix: str, use_bias: bool) -> list[str]:
    """Return the names of the weights of an attention."""
    kinds = ("kernel", "bias") if use_bias else ("kernel",)
    parts = ("query", "key", "value", "output")
    return [f"{prefix}{part}.{kind}" for part in parts for kind in kinds]


def _check_format(where: str, format: str) -> None:
    if format == "pickle":
        raise ValueError(
            f'{where}: format: found "pickle", expected {_FORMATS}; loading a pickle can execute '
            "code"
        )
    if format not in ("safetensors", "json"):
        raise ValueError(f"{where}: format: found {format!r}, expected {_FORMATS}")
