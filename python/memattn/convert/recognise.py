"""Finds the layers among the tensors of a file, by their names and their structure.

Every layer has an attention: a group with four projections named query, key, value and output, in
the spelling of any of the formats. The variables beside the attention identify the layer:

- MemoryAugmentedAttention: a `memory` (S, U) in the attention or in its parent group;
- CrossAttention: the Dense layers of two sources, in the attention or in its parent group;
- HierarchicalAttention: in the parent group a second attention, and a Dense layer for each of the
  two, one short and one long.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from memattn.convert.source import FLOAT_SIZES, Contents, SourceFile, Tensor
from memattn.convert.weights import (
    CROSS,
    HIERARCHICAL,
    KIND_OF,
    MEMORY,
    PROJECTIONS,
    LayerKind,
    shape_problem,
)
from memattn.errors import quoted

Group = tuple[str, ...]
Variables = Mapping[str, Tensor]
Projections = Mapping[str, Variables]

# Keras 2 and 3 name the sub-layers _query_dense, query_dense or query, and the last one
# attention_output as well.
_SPELLINGS = {
    spelling: role
    for role in PROJECTIONS
    for spelling in (role, f"{role}_dense", f"_{role}_dense", f"attention_{role}")
}
# The groups directly below a layer of two inputs, and the parts of the layer that they hold.
_CROSS_DENSES = {
    spelling: source
    for source in ("source1", "source2")
    for spelling in (source, f"{source}_dense", f"_{source}_dense")
}
_HIERARCHICAL_DENSES = {
    spelling: f"{side}.dense"
    for side in ("short", "long")
    for spelling in (f"{side}_term_dense", f"{side}_dense", f"_{side}_dense")
}
_HIERARCHICAL_ATTENTIONS = {
    spelling: side
    for side in ("short", "long")
    for spelling in (side, f"{side}_term_attention", f"{side}_attention", f"_{side}_attention")
}
_MAX_DEPTH = 64  # parts in a name
# Groups of an optimizer's variables, such as Adam's means, which have the shapes of weights.
_OPTIMIZERS = ("optimizer", "optimizer_weights")
# Groups that Keras puts between a model and its layers.
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")


@dataclass(frozen=True)
class FoundLayer:
    """A layer in a file, before its weights are read.

    Attributes
    ----------
    name : str
        The path of the layer in the model, which `read` accepts as `layer`. Empty if the file holds
        the weights of a single layer at its root.
    units, num_heads, key_dim, value_dim : int
        The sizes, as in the layer's constructor.
    memory_size : int or None
        The number of slots of a MemoryAugmentedAttention.
    use_bias : bool
    dtype : str
        The dtype of the weights in the file. `read` returns a layer in float64 if they are, else
        in float32.
    class_name : str, optional
        The class that the model's config names, if the file holds one.
    layer : str
        The class of the layer that `read` returns: ``"MemoryAugmentedAttention"``,
        ``"CrossAttention"`` or ``"HierarchicalAttention"``.
    source_units : (int, int), optional
        The widths of the two inputs of a CrossAttention or HierarchicalAttention.
    """

    name: str
    units: int
    memory_size: int | None
    num_heads: int
    key_dim: int
    value_dim: int
    use_bias: bool
    dtype: str
    class_name: str | None = None
    layer: str = MEMORY.name
    source_units: tuple[int, int] | None = None

    @property
    def description(self) -> str:
        """The sizes as text, such as ``"20 slots of 64 units"``."""
        units = f"{self.units} unit{'s' if self.units > 1 else ''}"
        if self.source_units is None:
            return f"{self.memory_size} slot{'s' if self.memory_size != 1 else ''} of {units}"
        first, second = self.source_units
        return f"{self.layer} of {units}, inputs {first} and {second} wide"


@dataclass(frozen=True)
class Candidate:
    """A layer found in a file, with its weights and options."""

    layer: FoundLayer
    tensors: Mapping[str, Tensor]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> LayerKind:
        """The kind of the layer."""
        return KIND_OF[self.layer.layer]


@dataclass(frozen=True)
class _Parts:
    """The variables of one layer: by group inside the layer, and the group that holds them all."""

    kind: LayerKind
    owner: Group
    groups: Mapping[str, Variables]
    memory: Tensor | None = None

    @property
    def is_named(self) -> bool:
        """Whether the variables' names identify the layer, not only their structure."""
        return self.memory is None or self.memory.parts[-1] == "memory"


def recognise(source: SourceFile, contents: Contents) -> list[Candidate]:
    """Return all layers in a file, in the order of the file.

    Raises
    ------
    memattn.FormatError
        If a layer is quantised, has LoRA factors, or its weights do not fit together.
    """
    found: list[Candidate] = []
    strangers: list[tuple[str, str, str]] = []
    for parts in _layers(source, contents):
        name = _layer_name(contents, parts)
        tensors = _plain_tensors(source, name, parts)
        problem = _misfit(parts.kind, tensors)
        if problem is None:
            found.append(_candidate(source, contents, parts.kind, name, tensors))
        elif parts.is_named:
            source.fail(f"layer {quoted(name, 200)}", *problem)
        else:
            strangers.append((f"layer {quoted(name, 200)}", *problem))
    if strangers and not found:
        # Weights that only look like a layer may be something else, unless there are no others.
        source.fail(*strangers[0])
    return _with_different_names(found)


def _layers(source: SourceFile, contents: Contents) -> list[_Parts]:
    groups = _groups(contents.tensors)
    children: defaultdict[Group, list[Group]] = defaultdict(list)
    for group in _with_parents(groups):
        if group:
            children[group[:-1]].append(group)
    attentions: dict[Group, dict[str, Variables]] = {}
    for group, inside in children.items():
        projections = _projections(source, groups, inside)
        if len(projections) == len(PROJECTIONS):
            attentions[group] = projections
    found: dict[Group, _Parts] = {}
    for attention, projections in attentions.items():
        for owner in (attention, attention[:-1])[: len(attention) + 1]:
            parts = None
            memory = _memory(source, groups.get(owner, {}), projections)
            if memory is not None:
                parts = _Parts(MEMORY, owner, projections, memory)
            elif owner not in found:
                near = {child[-1]: child for child in children.get(owner, ())}
                parts = _cross(contents, groups, attentions, attention, owner, near)
                parts = parts or _hierarchical(contents, groups, attentions, owner, near)
            if parts is not None:
                # Several attentions may share a memory, so each is a layer of its own. A layer of
                # two inputs owns all of its group.
                found[owner if memory is None else attention] = parts
                break
    return list(found.values())


def _cross(
    contents: Contents,
    groups: Mapping[Group, Variables],
    attentions: Mapping[Group, Projections],
    attention: Group,
    owner: Group,
    near: Mapping[str, Group],
) -> _Parts | None:
    """Return the CrossAttention with two Dense layers in `owner`, or None.

    `owner` is the attention or its parent group.
    """
    if owner != attention and sum(child in attentions for child in near.values()) != 1:
        return None
    denses = _denses(contents, groups, owner, near, _CROSS_DENSES)
    if denses is None:
        return None
    return _Parts(CROSS, owner, {**denses, **attentions[attention]})


def _hierarchical(
    contents: Contents,
    groups: Mapping[Group, Variables],
    attentions: Mapping[Group, Projections],
    owner: Group,
    near: Mapping[str, Group],
) -> _Parts | None:
    """Return the HierarchicalAttention with two attentions and two Dense layers in `owner`."""
    inside = {name: child for name, child in near.items() if child in attentions}
    if len(inside) != 2:
        return None
    named = _HIERARCHICAL_ATTENTIONS
    sides = {named[name]: group for name, group in inside.items() if name in named}
    denses = None
    if set(sides) == {"short", "long"}:
        # In memattn's own names, the Dense layer of a side lies beside its projections.
        own = {f"{side}.dense": groups.get((*group, "dense"), {}) for side, group in sides.items()}
        denses = own if all(own.values()) else None
    else:
        ordered = _in_order(contents, owner, inside)
        sides = dict(zip(("short", "long"), ordered, strict=True)) if ordered else {}
    denses = denses or _denses(contents, groups, owner, near, _HIERARCHICAL_DENSES)
    if not denses or not sides:
        return None
    projections = {
        f"{side}.{role}": variables
        for side, group in sides.items()
        for role, variables in attentions[group].items()
    }
    return _Parts(HIERARCHICAL, owner, {**denses, **projections})


def _denses(
    contents: Contents,
    groups: Mapping[Group, Variables],
    owner: Group,
    near: Mapping[str, Group],
    spellings: Mapping[str, str],
) -> dict[str, Variables] | None:
    """Return the variables of the two Dense layers among the groups `near`, by role."""
    named = {spellings[n]: groups[g] for n, g in near.items() if n in spellings and g in groups}
    if len(named) == 2:
        return named
    numbered = {name: group for name, group in near.items() if _unnumbered(name) == "dense"}
    ordered = _in_order(contents, owner, numbered) if not named else None
    if ordered is None:
        return None
    roles = dict.fromkeys(spellings.values())
    return dict(zip(roles, (groups.get(group, {}) for group in ordered), strict=True))


def _in_order(contents: Contents, owner: Group, near: Mapping[str, Group]) -> list[Group] | None:
    """Return two groups in the order in which Keras created and numbered them, or None.

    Only the older HDF5 files number the parts of a layer, and only below the layer's own name.
    Elsewhere, groups with such names are layers of a model, connected in any way.
    """
    same = len({_unnumbered(name) for name in near}) == 1
    described = contents.layer_configs.get(owner[-1], {}) if owner else {}
    ours = described.get("class_name", CROSS.name) in KIND_OF
    in_layer = contents.separator == "/" and len(owner) >= 2 and owner[-2] not in _CONTAINERS
    if len(near) != 2 or not (same and ours and in_layer):
        return None
    return [near[name] for name in sorted(near, key=_number)]


def _unnumbered(name: str) -> str:
    return re.sub(r"_\d+$", "", name)


def _number(name: str) -> int:
    """Return the number at the end of Keras' name of a layer: 3 of dense_3, 0 of dense."""
    number = name.removeprefix(_unnumbered(name))
    return int(number[1:]) if number else 0


def _groups(tensors: Iterable[Tensor]) -> dict[Group, dict[str, Tensor]]:
    """Return the variables of each group, by name."""
    groups: defaultdict[Group, dict[str, Tensor]] = defaultdict(dict)
    for tensor in tensors:
        if len(tensor.parts) <= _MAX_DEPTH and tensor.parts[0] not in _OPTIMIZERS:
            groups[tensor.parts[:-1]][tensor.parts[-1]] = tensor
    return dict(groups)


def _with_parents(groups: Iterable[Group]) -> list[Group]:
    """Return all groups and their ancestors, each once, in order of first occurrence."""
    return list(dict.fromkeys(group[:end] for group in groups for end in range(len(group) + 1)))


def _projections(
    source: SourceFile, groups: Mapping[Group, Variables], children: Iterable[Group]
) -> dict[str, Variables]:
    """Return the variables of the projections among sibling groups, by role."""
    found: dict[str, Variables] = {}
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


def _keys(variables: Variables) -> set[object]:
    return {tensor.key for tensor in variables.values()}


def _memory(
    source: SourceFile,
    variables: Variables,
    projections: Projections,
) -> Tensor | None:
    """Return the memory of a group: the variable of that name, or the only one of shape (S, U)."""
    if "memory" in variables:
        return variables["memory"]
    if "#0" not in projections["key"]:
        return None  # the variables have names, and none is called memory
    kernel = projections["key"]["#0"].shape
    fitting = [
        tensor
        for name, tensor in variables.items()
        if name.startswith("#")
        and len(tensor.shape) == 2
        # A packed kernel has another shape; `_plain_tensors` reports it.
        and (len(kernel) != 3 or tensor.shape[1] == kernel[0])
    ]
    if len(fitting) > 1:
        names = ", ".join(quoted(tensor.name) for tensor in fitting)
        source.fail("", f"{len(fitting)} variables that may be the memory: {names}", "one")
    return fitting[0] if fitting else None


def _plain_tensors(source: SourceFile, layer: str, parts: _Parts) -> dict[str, Tensor]:
    """Return the weights by name.

    Raises FormatError unless each group has a float kernel, optionally a bias, and nothing else.
    """
    place = f"layer {quoted(layer, 200)}"
    tensors = {} if parts.memory is None else {"memory": parts.memory}
    for group in parts.kind.groups:
        variables = parts.groups[group]
        if any("lora" in name.lower() for name in variables):
            expected = "plain kernels: merge the factors into them and save again"
            source.fail(place, f"LoRA factors ({', '.join(variables)})"[:300], expected)
        numbered = any(name.startswith("#") for name in variables)
        names = ("#0", "#1") if numbered else ("kernel", "bias")
        kernel = variables.get(names[0])
        if kernel is None:
            source.fail(place, f"no kernel of {group}", "one")
        if variables.keys() - set(names) or kernel.dtype not in FLOAT_SIZES:
            what = "projection" if group in PROJECTIONS else "kernel"
            found = f"a quantised {group} {what} ({kernel.dtype}, {len(variables)} variables)"
            source.fail(place, found, "float kernels: save the model before it is quantised")
        tensors[f"{group}.kernel"] = kernel
        if names[1] in variables:
            tensors[f"{group}.bias"] = variables[names[1]]
    return tensors


def _candidate(
    source: SourceFile, contents: Contents, kind: LayerKind, name: str, tensors: Variables
) -> Candidate:
    sizes = kind.sizes_of({name: tensor.shape for name, tensor in tensors.items()})
    dtypes = {tensor.dtype for tensor in tensors.values()}
    described = contents.layer_configs.get(name.rpartition("/")[2], {})
    widths = [sizes[width] for width in kind.widths]
    layer = FoundLayer(
        name,
        sizes["units"],
        sizes.get("memory_size"),
        sizes["num_heads"],
        sizes["key_dim"],
        sizes["value_dim"],
        use_bias=any(weight.endswith(".bias") for weight in tensors),
        dtype=max(sorted(dtypes), key=FLOAT_SIZES.__getitem__),
        class_name=described.get("class_name"),
        layer=kind.name,
        source_units=(widths[0], widths[1]) if widths else None,
    )
    options = {"fully_masked": contents.fully_masked}
    known = described.get("config", {}) if layer.class_name == kind.name else {}
    options |= options_of(source, layer, known)
    return Candidate(layer, tensors, options)


def _layer_name(contents: Contents, parts: _Parts) -> str:
    owner = parts.owner
    if contents.separator == ".":
        # The name as in the file, where a part may contain slashes.
        variables = parts.groups[parts.kind.groups[-1]]
        name = next(iter(variables.values())).name if parts.memory is None else parts.memory.name
        ends = [end.start() for end in re.finditer(r"[./]", name)]
        return name[: ends[len(owner) - 1]] if owner else ""
    named = [
        contents.names.get(owner[: index + 1], part)
        for index, part in enumerate(owner)
        if part not in _CONTAINERS
    ]
    # In the older files, names inside a layer's group contain the layer's name again.
    return "/".join(named[1:] if named[0:1] and named[0] in named[1:] else named)


def _misfit(kind: LayerKind, tensors: Variables) -> tuple[str, str] | None:
    """Return what was found and what was expected, or None if the tensors make one layer."""
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOAT_SIZES:
            return f"{name} of {tensor.dtype}", f"one of {', '.join(FLOAT_SIZES)}"
    return shape_problem(kind, {name: tensor.shape for name, tensor in tensors.items()})


def options_of(source: SourceFile, layer: FoundLayer, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config's options without sizes; raise FormatError if it contradicts the weights."""
    place = f"config of layer {quoted(layer.name, 200)}"
    kind = KIND_OF[layer.layer]
    sizes = dict(zip(kind.widths, layer.source_units or (), strict=True))
    for key in (*kind.sizes, "use_bias"):
        found, expected = config.get(key), sizes.get(key, getattr(layer, key, None))
        if found is not None and found != expected:
            source.fail(place, f"{key} {quoted(repr(found))}", f"{expected} as in the weights")
    return {key: config[key] for key in kind.options if config.get(key) is not None}


def options_of_ours(source: SourceFile, layer: FoundLayer, config: object) -> dict[str, Any]:
    """Return the same for the full config that memattn writes beside the weights of one layer."""
    if not isinstance(config, dict):
        source.fail("config", "no object", "the config of a layer")
    own = KIND_OF[layer.layer].own_options
    others = {name: config[name] for name in own if name in config}
    return options_of(source, layer, config) | others


def _with_different_names(found: list[Candidate]) -> list[Candidate]:
    """Rename layers with equal names after their first weight in the file."""
    count = Counter(candidate.layer.name for candidate in found)
    return [
        replace(c, layer=replace(c.layer, name=next(iter(c.tensors.values())).name))
        if count[c.layer.name] > 1
        else c
        for c in found
    ]
