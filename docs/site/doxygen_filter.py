"""Doxygen's INPUT_FILTER: turns the plain comments of a header into comments that Doxygen reads.

    python doxygen_filter.py HEADER        prints the filtered header

A comment right before a declaration describes that declaration. A comment at the end of a line of
code describes the code before it. The first comment describes the file. `[[nodiscard]]` is removed,
and `[[deprecated("why")]]` becomes a sentence.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

COMMENT = re.compile(r"^(\s*)// ?(.*)$")
BEHIND = re.compile(r"^(.*?\S)(\s+)// ?(.*)$")
DEPRECATED = re.compile(r'\[\[deprecated\("([^"]*)"\)\]\]\s?')
ATTRIBUTE = re.compile(r"\[\[nodiscard\]\]\s?")
MARKUP = re.compile(r"([<>#&@\\%*])")


def escaped(text: str) -> str:
    """Escapes Doxygen's commands, tags and emphasis in a text, except in `code`."""
    parts = text.split("`")
    parts[::2] = [MARKUP.sub(r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def block(lines: list[str], first: bool) -> list[str]:
    """Converts a block of comment lines to a Doxygen comment; its indented lines are code."""
    indent = COMMENT.match(lines[0])[1]
    texts = ["@file"] if first else []
    in_code = False
    for line in lines:
        text = COMMENT.match(line)[2].rstrip()
        is_code = text.startswith("  ") or (in_code and not text)
        if is_code != in_code:
            texts.append("@verbatim" if is_code else "@endverbatim")
        in_code = is_code
        texts.append(text if is_code else escaped(text))
    if in_code:
        texts.append("@endverbatim")
    # Not ///: Doxygen would show the slashes in verbatim text.
    return [f"{indent}/** {texts[0]}", *texts[1:], f"{indent}*/"]


def filtered(text: str) -> str:
    """Returns the text of a header with Doxygen's comments."""
    lines, result, place = text.splitlines(), [], 0
    while place < len(lines):
        line = lines[place]
        if COMMENT.match(line):
            end = place
            while end < len(lines) and COMMENT.match(lines[end]):
                end += 1
            about = end < len(lines) and lines[end].strip() not in ("", "}", "};")
            comment = lines[place:end]
            column = behind_column(lines[place - 1]) if place else None
            if column is not None and len(COMMENT.match(line)[1]) == column:
                result += [f"{' ' * column}///< {escaped(COMMENT.match(c)[2])}" for c in comment]
            elif place == 0 or about:
                result += block(comment, first=place == 0)
            else:
                result += comment
            place = end
            continue
        result.append(declaration(line))
        place += 1
    return "\n".join(result) + "\n"


def behind_column(line: str) -> int | None:
    """Returns the column of the comment that ends a line of code; None if there is none."""
    match = BEHIND.match(line)
    return len(match[1] + match[2]) if match and not COMMENT.match(line) else None


def declaration(line: str) -> str:
    """Converts a line of code: drops attributes, and marks the comment at its end for Doxygen."""
    line = ATTRIBUTE.sub("", line)
    why = DEPRECATED.search(line)
    line = DEPRECATED.sub("", line)
    match = BEHIND.match(line)
    if match and not line.startswith(("}", "#")) and not match[1].endswith("{"):
        line = f"{match[1]}{match[2]}///< {escaped(match[3])}"
    if why:
        line = f"/** @deprecated {escaped(why[1])} */ {line}"
    return line


if __name__ == "__main__":
    sys.stdout.write(filtered(Path(sys.argv[1]).read_text(encoding="utf-8")))
