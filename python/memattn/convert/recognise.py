"""Finds memory layers among the tensors of a file, by their names and their structure.

A memory layer is a group with a `memory` (S, U) and, in itself or in a group right under it, an
attention: four projections named query, key, value and output, in the spelling of any of the
formats, whose kernels fit the memory and one another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from memattn.convert.source import FLOAT_SIZES, Contents, SourceFile, Tensor
from memattn.convert.weights import OPTIONS, PROJECTIONS, shape_problem
from memattn.errors import quoted

Group = tuple[str, ...]

# Keras 2 and 3 name the sub-layers _query_dense, query_dense or query, and the last one
# attention_output as well.
_SPELLINGS = {
    spelling: role
    for role in PROJECTIONS
    for spelling in (role, f"{role}_dense", f"_{role}_dense", f"attention_{role}")
}
_MAX_DEPTH = 64  # parts of a name
# Groups that hold copies of weights for an optimizer, such as Adam's means.
_OPTIMIZERS = ("optimizer", "optimizer_weights")
# Groups that Keras puts between a model and its layers.
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


@dataclass(frozen=True)
class FoundLayer:
    """A memory layer in a file, before its weights are read.

    Attributes
    ----------
    name : str
        What `read` takes as `layer`: the path of the layer in the model; empty when the file holds
        the weights of one layer and nothing around them.
    units, memory_size, num_heads, key_dim, value_dim : int
        The sizes, as everywhere in memattn.
    use_bias : bool
    dtype : str
        Of the weights in the file. The layer that `read` gives is float64 if that is, else float32.
    class_name : str, optional
        The class that the model's config names, if the file holds one.
    """

    name: str
    units: int
    memory_size: int
    num_heads: int
    key_dim: int
    value_dim: int
    use_bias: bool
    dtype: str
    class_name: str | None = None


@dataclass(frozen=True)
class Candidate:
    """A found layer with where its weights are and what else the file says about it."""

    layer: FoundLayer
    tensors: Mapping[str, Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)


def recognise(source: SourceFile, contents: Contents) -> list[Candidate]:
    """All memory layers in a file, in its order.

    Raises
    ------
    memattn.FormatError
        One of them is quantised, has LoRA factors, or does not fit together.
    """
    groups = _groups(contents.tensors)
    children: defaultdict[Group, list[Group]] = defaultdict(list)
    for group in _with_parents(groups):
        if group:
            children[group[:-1]].append(group)
    found: list[Candidate] = []
    strangers: list[tuple[str, str, str]] = []
    for attention, inside in children.items():
        projections = _projections(source, groups, inside)
        if len(projections) < len(PROJECTIONS):
            continue
        owner = attention
        memory = _memory(source, groups.get(owner, {}), projections)
        if memory is None:
            owner = attention[:-1]
            memory = _memory(source, groups.get(owner, {}), projections)
        if memory is None:
            continue
        name = _layer_name(contents, owner, memory)
        tensors = _plain_tensors(source, name, memory, projections)
        problem = _misfit(tensors)
        if problem is None:
            found.append(_candidate(source, contents, name, tensors))
        elif memory.parts[-1] == "memory":
            source.fail(f"layer {quoted(name, 200)}", *problem)
        else:
            strangers.append((f"layer {quoted(name, 200)}", *problem))
    if strangers and not found:
        # What is a layer by its structure alone may be something else, unless it is all there is.
        source.fail(*strangers[0])
    return _with_different_names(found)


def _groups(tensors: Iterable[Tensor]) -> dict[Group, dict[str, Tensor]]:
    """The variables of each group, by name."""
    groups: defaultdict[Group, dict[str, Tensor]] = defaultdict(dict)
    for tensor in tensors:
        if len(tensor.parts) <= _MAX_DEPTH and tensor.parts[0] not in _OPTIMIZERS:
            groups[tensor.parts[:-1]][tensor.parts[-1]] = tensor
    return dict(groups)


def _with_parents(groups: Iterable[Group]) -> list[Group]:
    """All groups and those that they lie in, each once, in the order in which they are met."""
    return list(dict.fromkeys(group[:end] for group in groups for end in range(len(group) + 1)))


def _projections(
    source: SourceFile, groups: Mapping[Group, Mapping[str, Tensor]], children: Iterable[Group]
) -> dict[str, Mapping[str, Tensor]]:
    """The variables of the projections among some groups, by role."""
    found: dict[str, Mapping[str, Tensor]] = {}
    for child in children:
        role = _SPELLINGS.get(child[-1])
        variables = groups.get(child, {})
        if role is None or not variables:
            continue
        if role in found and _keys(found[role]) != _keys(variables):
            place = "/".join(child)
            source.fail(place, f"a second {role} projection beside another", "one")
        found.setdefault(role, variables)
    return found


def _keys(variables: Mapping[str, Tensor]) -> set[object]:
    return {tensor.key for tensor in variables.values()}


def _memory(
    source: SourceFile,
    variables: Mapping[str, Tensor],
    projections: Mapping[str, Mapping[str, Tensor]],
) -> Tensor | None:
    """The memory among the variables of a group: the one of that name, or the only (S, U)."""
    if "memory" in variables:
        return variables["memory"]
    if "#0" not in projections["key"]:
        return None  # the variables have names, and none is the memory
    kernel = projections["key"]["#0"].shape
    fitting = [
        tensor
        for name, tensor in variables.items()
        if name.startswith("#")
        and len(tensor.shape) == 2
        # A packed kernel has another shape; then `_plain_tensors` has the word.
        and (len(kernel) != 3 or tensor.shape[1] == kernel[0])
    ]
    if len(fitting) > 1:
        names = ", ".join(quoted(tensor.name) for tensor in fitting)
        source.fail("", f"{len(fitting)} variables that may be the memory: {names}", "one")
    return fitting[0] if fitting else None


def _plain_tensors(
    source: SourceFile,
    layer: str,
    memory: Tensor,
    projections: Mapping[str, Mapping[str, Tensor]],
) -> dict[str, Tensor]:
    """The weights by name; FormatError unless each projection is a float kernel, perhaps a bias."""
    place = f"layer {quoted(layer, 200)}"
    tensors = {"memory": memory}
    for role in PROJECTIONS:
        variables = projections[role]
        if any("lora" in name.lower() for name in variables):
            expected = "plain kernels: merge the factors into them and save again"
            source.fail(place, f"LoRA factors ({', '.join(variables)})"[:300], expected)
        numbered = any(name.startswith("#") for name in variables)
        names = ("#0", "#1") if numbered else ("kernel", "bias")
        kernel = variables.get(names[0])
        if kernel is None:
            source.fail(place, f"no kernel of {role}", "one")
        if variables.keys() - set(names) or kernel.dtype not in FLOAT_SIZES:
            found = f"a quantised {role} projection ({kernel.dtype}, {len(variables)} variables)"
            source.fail(place, found, "float kernels: save the model before it is quantised")
        tensors[f"{role}.kernel"] = kernel
        if names[1] in variables:
            tensors[f"{role}.bias"] = variables[names[1]]
    return tensors


def _candidate(
    source: SourceFile, contents: Contents, name: str, tensors: Mapping[str, Tensor]
) -> Candidate:
    slots, units = tensors["memory"].shape
    _, heads, key_dim = tensors["query.kernel"].shape
    value_dim = tensors["value.kernel"].shape[2]
    dtypes = {tensor.dtype for tensor in tensors.values()}
    described = contents.layer_configs.get(name.rpartition("/")[2], {})
    layer = FoundLayer(
        name,
        units,
        slots,
        heads,
        key_dim,
        value_dim,
        use_bias="query.bias" in tensors,
        dtype=max(sorted(dtypes), key=FLOAT_SIZES.__getitem__),
        class_name=described.get("class_name"),
    )
    options = {"fully_masked": contents.fully_masked}
    options |= options_of(source, layer, described.get("config", {}))
    return Candidate(layer, tensors, options)


def _layer_name(contents: Contents, owner: Group, memory: Tensor) -> str:
    if contents.separator == ".":
        return memory.name.removesuffix("memory").rstrip("./")
    parts = [
        contents.names.get(owner[: index + 1], part)
        for index, part in enumerate(owner)
        if part not in _CONTAINERS
    ]
    # The older files have a group for each layer, and in it names with the layer's in them again.
    return "/".join(parts[1:] if parts[0:1] and parts[0] in parts[1:] else parts)


def _misfit(tensors: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """What was found and what was expected when tensors do not make one layer."""
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOAT_SIZES:
            return f"{name} of {tensor.dtype}", f"one of {', '.join(FLOAT_SIZES)}"
    return shape_problem({name: tensor.shape for name, tensor in tensors.items()})


def options_of(source: SourceFile, layer: FoundLayer, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a layer's config says beyond its sizes; FormatError when it contradicts the weights."""
    place = f"config of layer {quoted(layer.name, 200)}"
    for key in ("units", "memory_size", "num_heads", "key_dim", "value_dim", "use_bias"):
        found, expected = config.get(key), getattr(layer, key)
        if found is not None and found != expected:
            source.fail(place, f"{key} {quoted(repr(found))}", f"{expected} as in the weights")
    return {key: config[key] for key in OPTIONS if config.get(key) is not None}


def options_of_ours(source: SourceFile, layer: FoundLayer, config: object) -> dict[str, Any]:
    """The same for the whole config, which memattn writes beside the weights of its only layer."""
    if not isinstance(config, dict):
        source.fail("config", "no object", "the config of a layer")
    others = {name: config[name] for name in ("memory_initializer", "seed") if name in config}
    return options_of(source, layer, config) | others


def _with_different_names(found: list[Candidate]) -> list[Candidate]:
    """Layers of one name get the name of their memory in the file."""
    count = Counter(candidate.layer.name for candidate in found)
    return [
        replace(c, layer=replace(c.layer, name=c.tensors["memory"].name))
        if count[c.layer.name] > 1
        else c
        for c in found
    ]
