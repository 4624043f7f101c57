"""A program that runs the layer of a weight file in each framework, for test_agreement.py.

    python answers.py FOLDER HOST...

For each CASE.safetensors in FOLDER it reads the call from CASE.npz, and writes to CASE.HOST.npz: y,
the scores, and the gradients of sum(y · grad_y) with respect to the inputs and every weight.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

Arrays = dict[str, np.ndarray]
# (weights, config, x, grad_y, arguments of the call) -> y, scores, [gradients of x and the weights]
Host = Callable[[Arrays, dict[str, Any], Any, Any, dict[str, Any]], tuple[Any, Any, list[Any]]]


def torch_module(
    weights: Arrays, config: dict[str, Any], x: Any, grad_y: Any, call: dict[str, Any]
) -> tuple[Any, Any, list[Any]]:
    """Runs the layer in memattn.torch."""
    import torch

    from memattn.torch import MemoryAugmentedAttention

    layer = MemoryAugmentedAttention(**config)
    layer.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    masks = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in call.items()
    }
    x = torch.tensor(x, requires_grad=True)
    y, scores = layer(x, **masks, return_attention_scores=True)
    named = dict(layer.named_parameters())
    parts = [x, *(named[name] for name in weights)]
    found = torch.autograd.grad(y, parts, torch.from_numpy(grad_y))
    return y.detach().numpy(), scores.detach().numpy(), [d.numpy() for d in found]


def jax_functions(
    weights: Arrays, config: dict[str, Any], x: Any, grad_y: Any, call: dict[str, Any]
) -> tuple[Any, Any, list[Any]]:
    """Runs the layer in memattn.jax."""
    from memattn.jax import Config, apply

    def run(params: Any, x: Any) -> Any:
        return apply(params, x, Config(**config), **call, return_attention_scores=True)

    y, scores, d_params, d_x = compiled(run, weights, x, grad_y)
    return y, scores, [d_x, *(d_params[name] for name in weights)]


def compiled(run: Callable[..., Any], params: Any, inputs: Any, grad_y: Any) -> Any:
    """Returns y, the scores and both gradients of a function of JAX, which is compiled as one."""
    import jax

    @jax.jit
    def all_of_it(params: Any, inputs: Any, grad_y: Any) -> Any:
        y, pull, scores = jax.vjp(run, params, inputs, has_aux=True)
        return y, scores, *pull(grad_y)

    return all_of_it(params, inputs, grad_y)


def keras_layer(
    weights: Arrays, config: dict[str, Any], x: Any, grad_y: Any, call: dict[str, Any]
) -> tuple[Any, Any, list[Any]]:
    """Runs the layer in memattn.keras, on the installed Keras and backend."""
    from memattn.keras import MemoryAugmentedAttention

    layer = MemoryAugmentedAttention(**config)
    layer.build(x.shape)
    return run_keras(layer, list(weights), weights, [x], grad_y, call)


def keras_pairs(
    weights: Arrays, config: dict[str, Any], inputs: Arrays, grad_y: Any, call: dict[str, Any]
) -> tuple[Any, Any, list[Any]]:
    """Runs a layer of two inputs in memattn.keras; the widths follow from the inputs."""
    from memattn.keras import CrossAttention, HierarchicalAttention

    widths = ("source1_units", "source2_units", "short_units", "long_units")
    options = {name: value for name, value in config.items() if name not in widths}
    layer = (CrossAttention if "x1" in inputs else HierarchicalAttention)(**options)
    pair = list(inputs.values())
    layer.build([x.shape for x in pair])
    names = layer._weight_names()
    y, scores, gradients = run_keras(layer, names, weights, pair, grad_y, call)
    named = dict(zip(names, gradients[2:], strict=True))
    sides = scores if isinstance(scores, tuple) else (scores,)
    return y, sides, [*gradients[:2], *(named[name] for name in weights)]


def run_keras(
    layer: Any, names: list[str], weights: Arrays, inputs: Any, grad_y: Any, call: dict[str, Any]
) -> tuple[Any, Any, list[Any]]:
    """Returns y, scores and gradients of a built layer whose variables are called `names`."""
    import keras

    def given(tensors: Any) -> Any:
        return tensors[0] if len(tensors) == 1 else tensors

    layer.set_weights([weights[name] for name in names])
    call = {**call, "return_attention_scores": True}
    backend = keras.backend.backend()
    if backend == "jax":
        values = [variable.value for variable in layer.trainable_variables]
        fixed = [variable.value for variable in layer.non_trainable_variables]

        def run(weights: Any, inputs: Any) -> Any:
            return layer.stateless_call(weights, fixed, given(inputs), **call)[0]

        y, scores, d_weights, d_inputs = compiled(run, values, inputs, grad_y)
        return y, scores, [*d_inputs, *d_weights]
    if backend == "torch":
        import torch

        inputs = [torch.tensor(x, requires_grad=True) for x in inputs]
        parts = [*inputs, *(variable.value for variable in layer.trainable_variables)]
        y, scores = layer(given(inputs), **call)
        found = torch.autograd.grad(y, parts, torch.from_numpy(grad_y))
        sides = scores if isinstance(scores, tuple) else (scores,)
        return y.detach().numpy(), tuple(s.detach() for s in sides), [d.numpy() for d in found]
    import tensorflow as tf

    inputs = [tf.constant(x) for x in inputs]
    variables = layer.trainable_variables
    if keras.__version__ >= "3":  # the variables of Keras 3 wrap TensorFlow's
        variables = [variable.value for variable in variables]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y, scores = layer(given(inputs), **call)
    found = tape.gradient(y, [*inputs, *variables], grad_y, unconnected_gradients="zero")
    return y.numpy(), scores, [tf.convert_to_tensor(d).numpy() for d in found]


def torch_pairs(
    weights: Arrays, config: dict[str, Any], inputs: Arrays, grad_y: Any, call: dict[str, Any]
) -> tuple[Any, Any, list[Any]]:
    """Runs a layer of two inputs in memattn.torch, in evaluation mode, as in NumPy."""
    import torch

    from memattn.torch import CrossAttention, HierarchicalAttention

    layer = (CrossAttention if "x1" in inputs else HierarchicalAttention)(**config).eval()
    layer.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    masks = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in call.items()
    }
    pair = [torch.tensor(x, requires_grad=True) for x in inputs.values()]
    y, scores = layer(*pair, **masks, return_attention_scores=True)
    named = dict(layer.named_parameters())
    found = torch.autograd.grad(
        y, [*pair, *(named[name] for name in weights)], torch.from_numpy(grad_y)
    )
    sides = scores if isinstance(scores, tuple) else (scores,)
    return y.detach().numpy(), tuple(s.detach() for s in sides), [d.numpy() for d in found]


def jax_pairs(
    weights: Arrays, config: dict[str, Any], inputs: Arrays, grad_y: Any, call: dict[str, Any]
) -> tuple[Any, Any, list[Any]]:
    """Runs a layer of two inputs in memattn.jax."""
    from memattn.jax import CrossAttention, HierarchicalAttention

    layer = (CrossAttention if "x1" in inputs else HierarchicalAttention)(**config)

    def run(params: Any, pair: Any) -> Any:
        return layer.apply(params, *pair, **call, return_attention_scores=True)

    y, scores, d_params, d_inputs = compiled(run, weights, list(inputs.values()), grad_y)
    return y, scores, [*d_inputs, *(d_params[name] for name in weights)]


HOSTS: dict[str, Host] = {"torch": torch_module, "jax": jax_functions, "keras": keras_layer}
# For the layers of two inputs: x is a dict of inputs by name, the scores are an array or a pair.
PAIR_HOSTS: dict[str, Host] = {"torch": torch_pairs, "jax": jax_pairs, "keras": keras_pairs}
INPUTS = ("x", "x1", "x2", "short", "long")


def main(name: str, folder: Path) -> None:
    """Runs every case in the folder."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "np") as file, np.load(path.with_suffix(".npz")) as data:
            config = json.loads(file.metadata()["config"])
            del config["seed"]
            given = dict(data)
            inputs = {key: given.pop(key) for key in INPUTS if key in given}
            grad_y, order = given.pop("grad_y"), given.pop("order").tolist()
            weights = {weight: file.get_tensor(weight) for weight in order}
        call = {key: value if value.ndim else value.item() for key, value in given.items()}
        if "x" in inputs:
            y, scores, gradients = HOSTS[name](weights, config, inputs["x"], grad_y, call)
        else:
            y, scores, gradients = PAIR_HOSTS[name](weights, config, inputs, grad_y, call)
        named = dict(zip([*inputs, *order], gradients, strict=True))
        answer = {f"grad {part}": np.asarray(value) for part, value in named.items()}
        sides = scores if isinstance(scores, tuple) else (scores,)
        answer |= {f"scores {place}": np.asarray(side) for place, side in enumerate(sides)}
        np.savez(path.with_suffix(f".{name}.npz"), y=y, **answer)


if __name__ == "__main__":
    for host in sys.argv[2:]:
        main(host, Path(sys.argv[1]))
