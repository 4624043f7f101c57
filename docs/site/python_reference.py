"""The directive `python-package`: adds an entry for every name in the `__all__` of a package.

Griffe reads the sources and imports nothing: neither the compiled extension nor PyTorch, Keras or
JAX is needed. Sphinx's napoleon turns the numpydoc sections of the docstrings into fields.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import ClassVar

import griffe
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, NumpyDocstring
from sphinx.util.docutils import SphinxDirective
from sphinx.util.parsing import nested_parse_to_nodes

SOURCES = Path(__file__).resolve().parents[2] / "python"
NAPOLEON = Config(napoleon_use_rtype=False, napoleon_use_ivar=True, napoleon_use_param=True)
ATTRIBUTES = re.compile(r"^Attributes\n-+\n(.*?)(?=^\w+\n-+$|\Z)", re.MULTILINE | re.DOTALL)
PAGE = re.compile(r"``docs/([\w-]+)\.md``|(?<![\w`/])docs/([\w-]+)\.md")
PACKAGES = (
    *("memattn", "memattn.convert", "memattn.forecast", "memattn.inspection"),
    *("memattn.jax", "memattn.keras", "memattn.torch"),
    *(f"memattn.forecast.adapters.{name}" for name in ("darts", "fev", "sktime")),
)
SPECIAL = ("__call__", "__getitem__", "__len__", "__iter__")  # shown if they have a docstring
Member = griffe.Object | griffe.Alias


@cache
def package() -> griffe.Module:
    """Loads the package memattn from its sources."""
    loaded = griffe.load(
        "memattn", search_paths=[SOURCES], allow_inspection=False, resolve_aliases=True
    )
    assert isinstance(loaded, griffe.Module)
    return loaded


def public_names(module: griffe.Module) -> list[str]:
    """Returns the names of `__all__`, or the module's own public classes and functions."""
    if module.exports is not None:
        return [str(name) for name in module.exports]
    own = [*module.classes.values(), *module.functions.values()]
    return [one.name for one in own if not (one.is_alias or one.name.startswith("_"))]


def signature(parameters: griffe.Parameters, returns: object, *, bound: bool) -> str:
    """Returns a signature as written in the source; `bound` leaves out `self` or `cls`."""
    kinds = griffe.ParameterKind
    shown, starred, place_only = [], False, False
    for parameter in list(parameters)[1 if bound else 0 :]:
        if place_only and parameter.kind is not kinds.positional_only:
            shown.append("/")
        place_only = parameter.kind is kinds.positional_only
        prefix = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(parameter.kind, "")
        if parameter.kind is kinds.keyword_only and not starred:
            shown.append("*")
            starred = True
        starred |= parameter.kind is kinds.var_positional
        text = prefix + parameter.name
        if parameter.annotation is not None:
            text += f": {parameter.annotation}"
        if parameter.default is not None and not prefix:
            text += f" = {default_of(parameter)}" if ":" in text else f"={default_of(parameter)}"
        shown.append(text)
    if place_only:
        shown.append("/")
    return f"({', '.join(shown)})" + (f" -> {returns}" if returns is not None else "")


def default_of(parameter: griffe.Parameter) -> str:
    """Returns a default as written in the source; for a constant of memattn, its value."""
    default = parameter.default
    if isinstance(default, griffe.ExprName):
        try:
            constant = package()[default.canonical_path.removeprefix("memattn.")]
        except KeyError:
            return str(default)
        constant = constant.final_target if constant.is_alias else constant
        if isinstance(constant, griffe.Attribute) and constant.value is not None:
            return str(constant.value)
    return str(default)


def docstring(member: Member, what: str) -> list[str]:
    """Returns a docstring as reStructuredText, without the attributes, which have entries."""
    text = member.docstring.value if member.docstring else ""
    return restructured(ATTRIBUTES.sub("", text), what)


def restructured(text: str, what: str) -> list[str]:
    """Converts numpydoc sections to reStructuredText, and names of pages in docs/ to links."""
    text = PAGE.sub(lambda match: f":doc:`/{match[1] or match[2]}`", text)
    return "\n".join(NumpyDocstring(text, NAPOLEON, what=what).lines()).split("\n")


def indented(lines: list[str]) -> list[str]:
    """Indents lines as the content of a directive."""
    return [f"   {line}" if line else "" for line in lines]


def entry(directive: str, head: list[str], options: list[str], content: list[str]) -> list[str]:
    """Returns the lines of a directive; several heads are overloads."""
    first, *others = head
    space = " " * len(f".. {directive}:: ")
    lines = [f".. {directive}:: {first}", *(space + other for other in others)]
    return [*lines, *indented(options), "", *indented(content), ""]


def function_lines(
    name: str, function: griffe.Function | griffe.Alias, *, bound: bool
) -> list[str]:
    """Returns the entry of a function or method."""
    labels = function.labels
    method = function.parent is not None and function.parent.is_class
    first = method and "staticmethod" not in labels
    overloads = function.overloads if isinstance(function, griffe.Function) else []
    forms = overloads or [function]
    heads = [name + signature(form.parameters, form.returns, bound=first) for form in forms]
    options = [f":{kind}:" for kind in ("staticmethod", "classmethod", "async") if kind in labels]
    directive = "py:method" if bound else "py:function"
    return entry(directive, heads, options, docstring(function, "method" if bound else "function"))


def described(cls: griffe.Class) -> dict[str, str]:
    """Returns the descriptions in the section "Attributes" of a class's docstring, by attribute."""
    section = ATTRIBUTES.search(cls.docstring.value if cls.docstring else "")
    found: dict[str, str] = {}
    for item in re.split(r"^(?=\S)", section[1], flags=re.MULTILINE) if section else []:
        head, _, text = item.partition("\n")
        for name in head.partition(" : ")[0].split(","):
            found[name.strip()] = inspect.cleandoc(text)
    return found


def attribute_lines(
    name: str, attribute: griffe.Attribute | griffe.Alias, *, bound: bool, said: str = ""
) -> list[str]:
    """Returns the entry of a property, a dataclass field, or a variable of a module.

    `said` is its description in the docstring of its class.
    """
    options = [f":type: {attribute.annotation}"] if attribute.annotation is not None else []
    content = docstring(attribute, "attribute") if attribute.docstring else restructured(said, "")
    renamed = renamed_property(attribute)
    if renamed:
        content = [f"Deprecated: renamed :py:obj:`{renamed[0]}`; removed in version {renamed[1]}."]
    directive = "py:property" if "property" in attribute.labels else "py:attribute"
    return entry(directive if bound else "py:data", [name], options, content)


def renamed_property(attribute: griffe.Attribute | griffe.Alias) -> tuple[str, str] | None:
    """Returns the arguments of `RenamedProperty(new, removed_in)` if that is the value."""
    call = ast.parse(str(attribute.value), mode="eval").body if attribute.value else None
    if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "RenamedProperty":
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        return ast.literal_eval(given[0]), ast.literal_eval(given[1])
    return None


def members_of(cls: griffe.Class) -> Iterator[tuple[str, Member]]:
    """Yields the public members in the order of the sources, inherited ones first."""
    for name, member in {**cls.inherited_members, **cls.members}.items():
        target = member.final_target if member.is_alias else member
        public = not name.startswith("_") or (name in SPECIAL and target.docstring is not None)
        if public and (target.is_function or target.is_attribute):
            yield name, target


def shown_bases(cls: griffe.Class) -> Iterator[str]:
    """Yields the bases to show; a base of memattn without an entry is replaced by its own bases."""
    resolved = {base.path: base for base in cls.resolved_bases}
    for base in cls.bases:
        path = str(getattr(base, "canonical_path", base))
        own = resolved.get(path)
        if own is None or (own.is_class and entry_of(own)):
            yield str(base)
        elif own.is_class:
            yield from shown_bases(own)  # type: ignore[arg-type]  # a class, by is_class


def target_of(member: Member) -> Member:
    """Returns the object that an imported name refers to."""
    return member.final_target if member.is_alias else member


def entry_of(member: Member) -> bool:
    """Returns whether a class is public under any name."""
    return any(
        name in package_of(path).members and target_of(package_of(path)[name]).path == member.path
        for path in PACKAGES
        for name in public_names(package_of(path))
    )


def class_lines(name: str, cls: griffe.Class) -> list[str]:
    """Returns the entry of a class, with its members."""
    head = name
    if "__init__" in cls.all_members or "dataclass" in cls.labels:
        head += signature(cls.parameters, None, bound=cls.parameters[0].name == "self")
    bases = list(dict.fromkeys(shown_bases(cls)))
    content = [f"Bases: {', '.join(f':py:obj:`{base}`' for base in bases)}", ""] if bases else []
    content += [*docstring(cls, "class"), ""]
    said = described(cls)
    for member_name, member in members_of(cls):
        # mypy does not narrow the type of a member by is_function.
        if member.is_function:
            content += function_lines(member_name, member, bound=True)  # type: ignore[arg-type]
        else:
            text = said.get(member_name, "")
            content += attribute_lines(member_name, member, bound=True, said=text)  # type: ignore[arg-type]
    return entry("py:class", [head], [], content)


def object_lines(name: str, member: Member) -> list[str]:
    """Returns the entry of a public name."""
    target = member.final_target if member.is_alias else member
    if isinstance(target, griffe.Class):
        return class_lines(name, target)
    if isinstance(target, griffe.Function):
        return function_lines(name, target, bound=False)
    return attribute_lines(name, target, bound=False)


@cache
def entries() -> frozenset[str]:
    """Returns the full names of all objects and members that have an entry."""
    found = set()
    for path in PACKAGES:
        module = package_of(path)
        for name in public_names(module):
            member = module[name]
            target = member.final_target if member.is_alias else member
            found.add(f"{path}.{name}")
            if isinstance(target, griffe.Class):
                found |= {f"{path}.{name}.{inner}" for inner, _ in members_of(target)}
    return frozenset(found)


def package_of(path: str) -> griffe.Module:
    """Returns the package of a dotted path: memattn or a package in it."""
    found = package() if path == "memattn" else package()[path.removeprefix("memattn.")]
    assert isinstance(found, griffe.Module)
    return found


def point(app: Sphinx, tree: nodes.document) -> None:
    """Resolves references to full names; Sphinx alone would match any name with the same end.

    A name in the docstring of a class means a member of the class, then a name of the module, of
    memattn or of memattn.forecast. The type of an argument is never a member.
    """
    for node in tree.findall(addnodes.pending_xref):
        if node.get("refdomain") != "py" or node.get("reftype") == "mod":
            continue
        module, cls, target = node.get("py:module"), node.get("py:class"), node["reftarget"]
        places = [f"{module}.{cls}"] if cls and node.get("reftype") == "obj" else []
        places += [str(module), "memattn", "memattn.forecast"]
        names = [f"{place}.{target.lstrip('.')}" for place in places] + [target]
        meant = next((name for name in names if name in entries()), None)
        node.attributes.pop("refspecific", None)
        node["reftarget"] = meant or target
        if meant:
            node["py:module"] = node["py:class"] = None


class PythonPackage(SphinxDirective):
    """``.. python-package:: memattn.forecast`` adds its docstring and an entry per public name.

    The names in the option ``first`` come first, the others in the order of ``__all__``.
    """

    required_arguments = 1
    option_spec: ClassVar[dict[str, object]] = {"first": str.split}

    def run(self) -> list[nodes.Node]:
        """Parses the reStructuredText made from the sources."""
        path = self.arguments[0]
        module = package_of(path)
        lines = [f".. py:module:: {path}", "", *docstring(module, "module"), ""]
        first = self.options.get("first", [])
        for name in [*first, *(name for name in public_names(module) if name not in first)]:
            lines += object_lines(name, module[name])
        return nested_parse_to_nodes(
            self.state, "\n".join(lines), source=str(module.filepath), keep_title_context=True
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("python-package", PythonPackage)
    app.connect("doctree-read", point)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
