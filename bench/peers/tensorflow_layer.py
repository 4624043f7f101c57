"""Code for every TensorFlow: graphs with or without XLA, and the layer folded by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from bench.peers.worker import Model
from bench.problem import WEIGHTS, Problem


def compiled(function: Callable[..., Any], mode: str, *arguments: Any) -> Callable[[], Any]:
    """Return `function` on these tensors: eager, as a graph, or as a graph with XLA."""
    if mode == "eager":
        return lambda: function(*arguments)
    concrete = tf.function(function, jit_compile=mode == "xla").get_concrete_function(*arguments)
    return lambda: concrete(*arguments)


def model(
    layer: Callable[[Any], Any], weights: list[Any], problem: Problem, mode: str, task: str
) -> Model:
    """Return a call, or one with the gradients of x and of `weights`, in the order of WEIGHTS."""
    x, grad_y = tf.constant(problem.x), tf.constant(problem.grad_y)

    def step(x: Any, grad_y: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([x, *weights])
            y = layer(x)
        grads = tape.gradient(y, [x, *weights], grad_y, unconnected_gradients="zero")
        return [y, *map(tf.convert_to_tensor, grads)]

    if task == "step":
        return Model(compiled(step, mode, x, grad_y), lambda parts: [p.numpy() for p in parts])
    return Model(compiled(layer, mode, x), lambda y: [y.numpy()])


def _two_products(x: Any, a: Any, c: Any, b: Any, bo: Any, heads: int) -> Any:
    tokens = tf.reshape(x, (-1, x.shape[-1]))
    logits = tf.matmul(tokens, a) + c
    by_head = tf.reshape(logits, (-1, heads, logits.shape[-1] // heads))
    scores = tf.reshape(tf.nn.softmax(by_head), (-1, logits.shape[-1]))
    return tf.reshape(tokens + (tf.matmul(scores, b) + bo), x.shape)


def _fold(weights: list[Any]) -> tuple[Any, Any, Any, Any]:
    memory, wq, bq, wk, _, wv, bv, wo, bo = map(tf.convert_to_tensor, weights)
    units = memory.shape[1]
    key = tf.einsum("su,uhd->hsd", memory, wk) * units**-0.5
    value = tf.einsum("su,uhd->hsd", memory, wv) + bv[:, None]
    a = tf.reshape(tf.einsum("uhd,hsd->uhs", wq, key), (units, -1))
    c = tf.reshape(tf.einsum("hd,hsd->hs", bq, key), (-1,))
    b = tf.reshape(tf.einsum("hsd,hdu->hsu", value, wo), (-1, units))
    return a, c, b, bo


def folded(problem: Problem, mode: str, task: str) -> Model:
    """Return the layer folded by hand; a training step includes folding."""
    heads = problem.shape.num_heads
    if task == "step":
        weights = [tf.Variable(problem.weights[name]) for name in WEIGHTS]
        return model(
            lambda x: _two_products(x, *_fold(weights), heads), weights, problem, mode, task
        )
    arrays = problem.folded()
    a, c, b, bo = (tf.constant(arrays[name]) for name in ("a", "c", "b", "bo"))
    return model(lambda x: _two_products(x, a, c, b, bo, heads), [], problem, mode, task)
