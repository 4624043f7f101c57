"""Every public name of Python, C++ and the command line has an entry in the reference."""

import ast
import html
import re
from pathlib import Path

import click
import pytest

from memattn.cli import app

from .pages import ROOT, SITE, inventory, pages

PACKAGES = ("", "convert", "forecast", "inspection", "jax", "keras", "torch")
# Declarations outside of classes are not indented; members are indented by two spaces.
CLASS = re.compile(r"^(?:class|struct) (\w+)[^;{]*\{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
NAMES = (
    re.compile(r"^(?:class|struct|enum class) (\w+)\b(?!;)", re.MULTILINE),
    re.compile(r"^using (\w+) ", re.MULTILINE),
    re.compile(r"^(?! |using|template|#)(?:[\w:<>&*, ]* )?(\w+)\(", re.MULTILINE),
)
MEMBER = re.compile(r"^  (?!return |using |friend )(?:[\w:<>&*, ]+[ &*])?(\w+)\(", re.MULTILINE)
MACRO = re.compile(r"^#define (MEMATTN_\w+)", re.MULTILINE)


def public_names(package: str) -> list[str]:
    """Returns the `__all__` of a package, without importing it."""
    source = ROOT / "python/memattn" / package / "__init__.py"
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    raise AssertionError(f"{source} has no __all__")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_python_name_has_an_entry(package: str) -> None:
    path = ".".join(filter(None, ("memattn", package)))
    entries = {name for role, names in inventory().items() if role[:3] == "py:" for name in names}
    missing = [name for name in public_names(package) if f"{path}.{name}" not in entries]
    assert not missing


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "python/memattn/forecast/adapters").glob("[a-z]*.py")),
    ids=lambda path: path.stem,
)
def test_every_adapter_has_an_entry(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    assert names
    entries = inventory()["py:class"]
    assert {f"memattn.forecast.adapters.{path.stem}.{name}" for name in names} <= set(entries)


def test_all_packages_are_tested() -> None:
    found = (ROOT / "python/memattn").glob("*/__init__.py")
    public = {path.parent.name for path in found if "__all__" in path.read_text(encoding="utf-8")}
    assert public == set(filter(None, PACKAGES))


def test_python_members_have_entries() -> None:
    methods, properties = inventory()["py:method"], inventory()["py:property"]
    attributes = inventory()["py:attribute"]
    assert "memattn.forecast.Forecaster.cross_validation" in methods
    assert "memattn.forecast.Forecaster.save" in methods  # inherited
    assert "memattn.MemoryAugmentedAttention.weights" in properties  # inherited
    assert "memattn.forecast.Forecaster.horizon" in attributes  # a field of a dataclass, inherited
    assert "memattn.torch.MemoryAugmentedAttention.forward" in methods


def declared(header: Path) -> set[str]:
    """Returns the names declared in a header, including members of classes."""
    text = re.sub(r" *//.*", "", header.read_text(encoding="utf-8"))
    text = re.sub(r"\[\[(?:nodiscard|deprecated\([^)]*\))\]\] ?", "", text)
    text = re.sub(r"^extern .*", "", text.replace("MEMATTN_EXPORT ", ""), flags=re.MULTILINE)
    names = {f"memattn::{name}" for pattern in NAMES for name in pattern.findall(text)}
    for name, body in CLASS.findall(text):
        public = re.sub(r"^ (?:private|protected):.*?(?=^ public:|\Z)", "", body, flags=re.M | re.S)
        names |= {f"memattn::{name}::{member}" for member in MEMBER.findall(public)}
    return names | set(MACRO.findall(text))


def test_declared_finds_public_names_only() -> None:
    found = declared(ROOT / "include/memattn/optimizers.h")
    assert {"memattn::Adam", "memattn::clip_by_global_norm", "memattn::Adam::step"} <= found
    assert {"memattn::Adam::Adam", "memattn::Optimizer::set_learning_rate"} <= found
    assert "memattn::Optimizer::check_step" not in found  # protected
    assert "memattn::step" not in found


@pytest.mark.parametrize(
    "header", sorted((ROOT / "include/memattn").glob("*.h")), ids=lambda path: path.name
)
def test_every_cpp_name_has_an_entry(header: Path) -> None:
    names = declared(header)
    assert names or header.name in ("export.h", "memattn.h")
    entries = {
        name
        for role, names in inventory().items()
        if role.startswith(("cpp:", "c:"))
        for name in names
    }
    assert not sorted(names - entries)


def test_cpp_members_have_entries() -> None:
    functions = inventory()["cpp:function"]
    layer = "memattn::MemoryAugmentedAttention"
    for name in ("forward", "backward", "set_weight", "save", "load", "kept_bytes"):
        assert f"{layer}::{name}" in functions
    assert "memattn::CallOptions::dropout_step" in inventory()["cpp:member"]
    assert "memattn::Route::kFolded" in inventory()["cpp:enumerator"]
    assert not [name for name in functions if "Impl" in name]


def comments(header: Path) -> list[str]:
    """Returns the first words of each comment on a public declaration in a header."""
    text = header.read_text(encoding="utf-8")
    text = re.sub(r"^ (?:private|protected):.*?(?=^ public:|^\};)", "", text, flags=re.M | re.S)
    lines = text.splitlines()
    found, before = [], ""
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        alone = re.match(r" *// ?(.*)", line)
        behind = re.search(r"^(?! *return).*[;,] +// (.*)", line)
        if alone and not before:
            begin = alone[1]
        if behind and not alone:
            found.append(behind[1])
        if alone and after.strip() and not re.match(r" *(//|#)", after) and "///" not in before:
            found.append(begin)
        # Lines that continue a comment after code are marked, and do not begin a comment.
        before = ("///" if behind and not alone else before or line) if alone or behind else ""
    return [" ".join(comment.split()[:5]) for comment in found]


def plain(text: str) -> str:
    """Returns text for a comparison, without backticks and line breaks."""
    return " ".join(re.sub(r"[`]", "", text).split())


@pytest.mark.parametrize(
    "header", sorted((ROOT / "include/memattn").glob("*.h")), ids=lambda path: path.name
)
def test_comments_of_headers_are_in_the_reference(header: Path) -> None:
    shown = " ".join(
        path.read_text(encoding="utf-8") for path in (SITE / "reference").glob("cpp-*.html")
    )
    shown = plain(html.unescape(re.sub(r"<[^>]*>", "", shown)))
    expected = comments(header)
    assert expected or header.name in ("errors.h", "export.h", "memattn.h")
    assert [comment for comment in expected if plain(comment) not in shown] == []


def test_a_renamed_name_is_marked() -> None:
    text = (SITE / "reference/cpp-layers.html").read_text(encoding="utf-8")
    assert "renamed Route; removed in version 0.3" in text


@pytest.mark.parametrize("name", app._memattn.commands)
def test_every_command_option_has_an_entry(name: str) -> None:
    command = app._memattn.commands[name]
    options = inventory()["std:cmdoption"]
    for option in command.get_params(click.Context(command)):
        if isinstance(option, click.Option):
            for word in [*option.opts, *option.secondary_opts]:
                assert f"memattn-{name}.{word}" in options
    anchors = pages()[SITE / "reference/commands.html"].anchors
    assert f"memattn-{name}" in anchors
