"""Writes the golden files of CrossAttention and HierarchicalAttention: values, scores and gradients as other people's code computes them.

    python generate.py fusionlab OUT   # fusionlab-learn 0.3.1 (TensorFlow/Keras 2.15), float64: values, gradients, training runs
    python generate.py published OUT   # the same, float32, with masks: what a row with nothing to read gets on Keras 2 (1/T each)
    python generate.py files     OUT   # the same: .keras, .weights.h5 and legacy .h5 of small models, with expected outputs
    python generate.py keras     OUT   # Keras 3, TensorFlow backend, float64: every mask, key_dim and value_dim free

`cross_xtft` (290 KB) and the files of Keras are not kept here. Each file is one safetensors with float32 inputs and
weights, and float64 results computed from exactly those float32 values. `__metadata__` says what was run.

Names: `x1` (B,T1,F1) and `x2` (B,T2,F2) are the two inputs in call order (source1, source2; short, long), `g` the gradient of
the loss with respect to the output. Weights stand in the order of the published get_weights(), see CROSS and HIERARCHICAL:
`*.kernel` of a dense is (F,U), of query and key (U,H,D), of value (U,H,Dv), of output (H,Dv,U). Results: `y` (B,T1,U);
`scores` (B,H,T1,T2), for the hierarchical layer `scores1`, `scores2` (B,H,T,T); `grad.<name>`. Masks are uint8, 1 keeps;
`kept` (`kept1`, `kept2`) is their conjunction as (B,T1,T2).

Gradients of `*key.bias` are zero in truth (softmax cancels that bias); what stands there is the rounding noise of the
library that was run, so hold it against the size of the gradient of `*query.bias`, not its own.
"""
import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file

HEADS = [f"{part}.{kind}" for part in ("query", "key", "value", "output") for kind in ("kernel", "bias")]
CROSS = ["source1.kernel", "source1.bias", "source2.kernel", "source2.bias"] + HEADS
HIERARCHICAL = (["short.dense.kernel", "short.dense.bias", "long.dense.kernel", "long.dense.bias"]
                + ["short." + n for n in HEADS] + ["long." + n for n in HEADS])
NAMES = {"cross": CROSS, "hierarchical": HIERARCHICAL}


def draw(kind, rng, F1, F2, U, H, D, Dv):
    """float32 weights with every bias non-zero, so that no term can hide."""
    n = lambda *s, f=1.0: (rng.standard_normal(s) * f).astype("float32")
    dense = [n(F1, U, f=F1 ** -0.5), n(U, f=0.5), n(F2, U, f=F2 ** -0.5), n(U, f=0.5)]
    heads = lambda: [n(U, H, D, f=1.4 * U ** -0.5), n(H, D, f=0.5), n(U, H, D, f=1.4 * U ** -0.5), n(H, D, f=0.5),
                     n(U, H, Dv, f=U ** -0.5), n(H, Dv, f=0.3), n(H, Dv, U, f=(H * Dv) ** -0.5), n(U, f=0.3)]
    return dict(zip(NAMES[kind], dense + heads() + (heads() if kind == "hierarchical" else [])))


def write(out, case, tensors, **meta):
    path = os.path.join(out, case + ".safetensors")
    save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, path,
              {k: v if isinstance(v, str) else json.dumps(v) for k, v in meta.items()})
    print(f"{path}: {os.path.getsize(path)} bytes")


def values_and_gradients(kind, layer, call, x1, x2, g, dtype=tf.float64):
    """call(a, b) gives the output and a list of scores."""
    a, b, gt = (tf.constant(v, dtype) for v in (x1, x2, g))
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        y, scores = call(a, b)
        loss = tf.reduce_sum(y * gt)
    grads = tape.gradient(loss, [a, b] + list(layer.trainable_variables), unconnected_gradients="zero")
    result = {"y": y.numpy()}
    for name, s in zip(["scores"] if kind == "cross" else ["scores1", "scores2"], scores):
        result[name] = s.numpy()
    for name, grad in zip(["x1", "x2"] + NAMES[kind], grads):
        result["grad." + name] = tf.convert_to_tensor(grad).numpy()
    return result


def by_parts(kind, layer, a, b, keep1=None, keep2=None):
    """The published layer called through its own sublayers, since its call() gives no scores and takes no mask."""
    if kind == "cross":
        q, k = layer.source1_dense(a), layer.source2_dense(b)
        y, s = layer.cross_attention(query=q, value=k, key=k, attention_mask=keep1, return_attention_scores=True)
        return y, [s]
    p, q = layer.short_term_dense(a), layer.long_term_dense(b)
    y1, s1 = layer.short_term_attention(p, p, attention_mask=keep1, return_attention_scores=True)
    y2, s2 = layer.long_term_attention(q, q, attention_mask=keep2, return_attention_scores=True)
    return y1 + y2, [s1, s2]


def published_layer(kind, w, x1, x2, U, H, dtype):
    from fusionlab.nn.components import CrossAttention, HierarchicalAttention
    layer = (CrossAttention if kind == "cross" else HierarchicalAttention)(U, H)
    layer([tf.constant(x1, dtype), tf.constant(x2, dtype)])
    layer.set_weights([w[n].astype(dtype.as_numpy_dtype) for n in NAMES[kind]])
    return layer


# (B, T1, T2, F1, F2, units, heads)
SHAPES = {
    "cross": dict(user_guide=(4, 10, 15, 8, 12, 16, 2), xtft=(4, 10, 10, 4, 64, 32, 4), uneven=(2, 7, 4, 5, 3, 6, 2), one_query=(3, 1, 9, 6, 8, 8, 2), one_key=(2, 5, 1, 3, 4, 4, 3),
                       wide_inputs=(2, 3, 6, 19, 23, 5, 2), one_head=(2, 6, 5, 7, 7, 7, 1), single=(1, 1, 1, 1, 1, 1, 1)),
    "hierarchical": dict(xtft_half=(4, 10, 10, 4, 2, 16, 4), uneven=(2, 7, 7, 5, 3, 6, 2), one_step=(3, 1, 1, 6, 4, 5, 2), one_head=(2, 6, 6, 7, 7, 7, 1),
                              wide_inputs=(2, 4, 4, 19, 23, 5, 2), single=(1, 1, 1, 1, 1, 1, 1)),
}


def fusionlab(out):
    tf.keras.backend.set_floatx("float64")
    rng = np.random.default_rng(1000)
    source = "fusionlab-learn 0.3.1, TensorFlow 2.15, float64"
    for kind in NAMES:
        for case, (B, T1, T2, F1, F2, U, H) in SHAPES[kind].items():
            w = draw(kind, rng, F1, F2, U, H, U, U)
            x1, x2, g = (rng.standard_normal(s).astype("float32") for s in ((B, T1, F1), (B, T2, F2), (B, T1, U)))
            layer = published_layer(kind, w, x1, x2, U, H, tf.float64)
            result = values_and_gradients(kind, layer, lambda a, b: by_parts(kind, layer, a, b), x1, x2, g)
            assert np.array_equal(result["y"], layer([tf.constant(x1, tf.float64), tf.constant(x2, tf.float64)]).numpy())
            write(out, f"{kind}_{case}", {"x1": x1, "x2": x2, "g": g, **w, **result}, source=source, layer=type(layer).__name__,
                  config=dict(units=U, num_heads=H))
    # Training: 50 steps, losses step by step, last weights. Initial weights are those of draw(), the target a fixed tensor.
    for kind in NAMES:
        B, T1, T2, F1, F2, U, H = (4, 6, 5, 5, 7, 8, 2)
        T2 = T1 if kind == "hierarchical" else T2
        x1, x2 = rng.standard_normal((B, T1, F1)).astype("float32"), rng.standard_normal((B, T2, F2)).astype("float32")
        target = np.sin(2 * rng.standard_normal((B, T1, U))).astype("float32")
        for name, settings in (("sgd", dict(learning_rate=0.1)),
                               ("adam", dict(learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-7))):
            w = draw(kind, np.random.default_rng(1005), F1, F2, U, H, U, U)
            layer = published_layer(kind, w, x1, x2, U, H, tf.float64)
            now = [w[n].astype("float64") for n in NAMES[kind]]
            mean, square, losses = [0 * v for v in now], [0 * v for v in now], []
            for step in range(1, 51):
                layer.set_weights(now)
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean((layer([tf.constant(x1, tf.float64), tf.constant(x2, tf.float64)]) - target) ** 2)
                losses.append(float(loss))
                grads = [g.numpy() for g in tape.gradient(loss, layer.trainable_variables)]
                # What softmax cancels is rounding noise: exactly zero here, so that last.*key.bias equals its start to the bit.
                grads = [0 * g if n.endswith("key.bias") else g for n, g in zip(NAMES[kind], grads)]
                # The update is Keras' formula done here in float64: Keras itself rounds the betas to float32 on the way.
                if name == "sgd":
                    now = [v - settings["learning_rate"] * g for v, g in zip(now, grads)]
                else:
                    b1, b2 = settings["beta_1"], settings["beta_2"]
                    mean = [b1 * m + (1 - b1) * g for m, g in zip(mean, grads)]
                    square = [b2 * q + (1 - b2) * g * g for q, g in zip(square, grads)]
                    alpha = settings["learning_rate"] * np.sqrt(1 - b2 ** step) / (1 - b1 ** step)
                    now = [v - alpha * m / (np.sqrt(q) + settings["epsilon"]) for v, m, q in zip(now, mean, square)]
            print(f"{kind} {name}: loss {losses[0]:.4f} -> {losses[-1]:.4f}")
            write(out, f"train_{kind}_{name}", {"x1": x1, "x2": x2, "target": target, **w, **{"last." + n: v for n, v in zip(NAMES[kind], now)},
                                                "losses": np.array(losses)},
                  source=source + "; gradients of *key.bias set to exactly zero", layer=type(layer).__name__, config=dict(units=U, num_heads=H),
                  loss="mean over all elements of (y - target)^2, taken before each step", optimizer=dict(name=name, **settings))


def masks_of(kind, rng, B, T1, T2):
    """Case name -> masks as the caller gives them. Each set with query and value masks leaves some rows with nothing to read."""
    some = lambda *s: (rng.random(s) < 0.65).astype("uint8")

    def padded(T):   # a sequence padded at its end, one with holes, one empty
        m = some(B, T)
        m[0] = np.arange(T) < max(1, T - 2)
        m[-1] = 0
        return m
    shape = (B, T1, T2)     # (B, 1, T2): broadcasts over the queries
    if kind == "cross":
        return dict(no_mask={}, attention_mask=dict(attention_mask=some(*shape)), query_mask=dict(query_mask=padded(T1)),
                    value_mask=dict(value_mask=padded(T2)), causal=dict(use_causal_mask=True),
                    every_mask=dict(attention_mask=some(B, T1, T2), query_mask=padded(T1), value_mask=padded(T2), use_causal_mask=True))
    return dict(no_mask={}, short_mask=dict(short_mask=padded(T1)), long_mask=dict(long_mask=padded(T2)), causal=dict(use_causal_mask=True),
                attention_mask=dict(attention_mask=some(*shape)),
                every_mask=dict(attention_mask=some(B, T1, T2), short_mask=padded(T1), long_mask=padded(T2), use_causal_mask=True))


def conjunction(kind, masks, B, T1, T2):
    """(kept1, kept2): what each attention may read, (B, T1, T2). For the hierarchical layer T1 == T2."""
    sides = [("query_mask", "value_mask")] if kind == "cross" else [("short_mask", "short_mask"), ("long_mask", "long_mask")]
    kept = []
    for q, v in sides:
        keep = np.ones((B, T1, T2), bool)
        if masks.get("use_causal_mask"):
            keep &= np.tril(np.ones((1, T1, T2), bool))
        if "attention_mask" in masks:
            keep &= masks["attention_mask"].astype(bool)
        if q in masks:
            keep &= masks[q][:, :, None].astype(bool)
        if v in masks:
            keep &= masks[v][:, None, :].astype(bool)
        kept.append(keep)
    return kept


def mask_shape(kind):
    B, T1, T2, F1, F2, U, H, D, Dv = (3, 6, 7, 5, 8, 10, 3, 4, 5)
    return B, T1, (T1 if kind == "hierarchical" else T2), F1, F2, U, H, D, Dv   # Keras 3 rounds 1/sqrt(D) to float32: D is a power of 4


def keras3(out):
    import keras
    keras.config.set_floatx("float64")
    rng = np.random.default_rng(1100)
    source = f"keras.layers.Dense and MultiHeadAttention {keras.__version__}, TensorFlow backend, float64, put together as the layer's definition says"
    for kind in NAMES:
        B, T1, T2, F1, F2, U, H, D, Dv = mask_shape(kind)
        for case, masks in masks_of(kind, rng, B, T1, T2).items():
            kept = conjunction(kind, masks, B, T1, T2)

            class Layer(keras.layers.Layer):
                def build(self, shapes):
                    new = lambda: keras.layers.MultiHeadAttention(H, D, value_dim=Dv, flash_attention=False)
                    self.dense1, self.dense2 = keras.layers.Dense(U), keras.layers.Dense(U)
                    self.dense1.build(shapes[0]), self.dense2.build(shapes[1])
                    self.first = new()
                    self.first.build((B, T1, U), (B, T2, U), (B, T2, U))
                    if kind == "hierarchical":
                        self.second = new()
                        self.second.build((B, T2, U), (B, T2, U), (B, T2, U))

                def call(self, inputs):
                    a, b = self.dense1(inputs[0]), self.dense2(inputs[1])
                    attend = lambda layer, q, k, keep: layer(q, k, k, return_attention_scores=True, attention_mask=None if keep.all() and not masks else keep)
                    if kind == "cross":
                        y, s = attend(self.first, a, b, kept[0])
                        return y, [s]
                    (y1, s1), (y2, s2) = attend(self.first, a, a, kept[0]), attend(self.second, b, b, kept[1])
                    return y1 + y2, [s1, s2]
            layer = Layer()
            w = draw(kind, rng, F1, F2, U, H, D, Dv)
            x1, x2, g = (rng.standard_normal(s).astype("float32") for s in ((B, T1, F1), (B, T2, F2), (B, T1, U)))
            layer([tf.constant(x1, tf.float64), tf.constant(x2, tf.float64)])
            layer.set_weights([w[n].astype("float64") for n in NAMES[kind]])
            result = values_and_gradients(kind, layer, lambda a, b: layer([a, b]), x1, x2, g)
            extra = {n: v for n, v in masks.items() if not isinstance(v, bool)}
            extra.update({n: k.astype("uint8") for n, k in zip(["kept"] if kind == "cross" else ["kept1", "kept2"], kept)})
            write(out, f"mask_{kind}_{case}", {"x1": x1, "x2": x2, "g": g, **w, **extra, **result}, source=source,
                  config=dict(units=U, num_heads=H, key_dim=D, value_dim=Dv, use_causal_mask=bool(masks.get("use_causal_mask"))),
                  rows_with_nothing_to_read=[int((~k.any(-1)).sum()) for k in kept])


def published(out):
    """float32 on purpose: in float64 Keras 2 adds -1e9 and still sees the logits behind it, so such a row reads as if nothing were masked."""
    rng = np.random.default_rng(1200)
    for kind in NAMES:
        B, T1, T2, F1, F2, U, H, _, _ = mask_shape(kind)
        masks = masks_of(kind, rng, B, T1, T2)["every_mask"]
        kept = conjunction(kind, masks, B, T1, T2)
        w = draw(kind, rng, F1, F2, U, H, U, U)
        x1, x2, g = (rng.standard_normal(s).astype("float32") for s in ((B, T1, F1), (B, T2, F2), (B, T1, U)))
        layer = published_layer(kind, w, x1, x2, U, H, tf.float32)
        result = values_and_gradients(kind, layer, lambda a, b: by_parts(kind, layer, a, b, *(tf.constant(k) for k in kept)), x1, x2, g, tf.float32)
        extra = {n: v for n, v in masks.items() if not isinstance(v, bool)}
        extra.update({n: k.astype("uint8") for n, k in zip(["kept"] if kind == "cross" else ["kept1", "kept2"], kept)})
        write(out, f"uniform_{kind}", {"x1": x1, "x2": x2, "g": g, **w, **extra, **result}, layer=type(layer).__name__,
              source="fusionlab-learn 0.3.1, TensorFlow 2.15, float32, sublayers called with the masks: a row with nothing to read reads 1/T2 of each",
              config=dict(units=U, num_heads=H, use_causal_mask=True), rows_with_nothing_to_read=[int((~k.any(-1)).sum()) for k in kept])


def files(out):
    from fusionlab.nn.components import CrossAttention, HierarchicalAttention
    rng = np.random.default_rng(1300)
    K = tf.keras

    def fill(layer):
        layer.set_weights([(rng.standard_normal(v.shape) * (v.shape[0] ** -0.5 if v.ndim > 1 else 0.5)).astype("float32") for v in layer.get_weights()])

    def save(model, name, suffixes):
        for suffix in suffixes:
            (model.save_weights if "weights" in suffix else model.save)(os.path.join(out, name + suffix))

    def expect(layers, T1, T2):
        """layers: prefix -> (kind, layer, F1, F2); inputs and outputs of each layer itself, the model around it left aside."""
        tensors = {}
        for prefix, (kind, layer, F1, F2) in layers.items():
            x1, x2 = rng.standard_normal((2, T1, F1)).astype("float32"), rng.standard_normal((2, T2, F2)).astype("float32")
            tensors.update({prefix + n: v for n, v in zip(NAMES[kind], layer.get_weights())})
            tensors.update({prefix + "x1": x1, prefix + "x2": x2, prefix + "y": layer([x1, x2]).numpy()})
        return tensors
    source = "fusionlab-learn 0.3.1, Keras 2.15"
    U, H = (6, 2)
    for kind, cls in (("cross", CrossAttention), ("hierarchical", HierarchicalAttention)):
        T1, T2 = (5, 4) if kind == "cross" else (5, 5)
        a, b = K.Input((T1, 4)), K.Input((T2, 3))
        layer = cls(U, H)
        model = K.Model([a, b], K.layers.Dense(2)(layer([K.layers.Dense(5)(a), b])))
        fill(layer)
        save(model, f"keras2_{kind}", (".keras", ".weights.h5") + (("_legacy.h5",)))
        write(out, f"keras2_{kind}_expected", expect({"": (kind, layer, 5, 3)}, T1, T2), source=source + ": the layer in a model whose first input goes through a Dense",
              layer=cls.__name__, config=dict(units=U, num_heads=H))


if __name__ == "__main__":
    which, out = sys.argv[1], sys.argv[2]
    os.makedirs(out, exist_ok=True)
    {"fusionlab": fusionlab, "keras": keras3, "published": published, "files": files}[which](out)
