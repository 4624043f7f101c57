"""Doxygen's view of a header of ours: the comments that it would pass over, as those that it reads.

    python doxygen_filter.py HEADER        prints the header, as Doxygen's INPUT_FILTER does

The headers have plain comments. A comment that stands right before a declaration is about that
declaration, one behind code about what stands before it, and the first one is about the file.
Attributes go, and `[[deprecated("why")]]` becomes a sentence.
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
    """Text in which Doxygen finds no commands, tags or emphasis; code in `quotes` stays."""
    parts = text.split("`")
    parts[::2] = [MARKUP.sub(r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def block(lines: list[str], first: bool) -> list[str]:
    """A block of comment lines as one of Doxygen; what is indented in it is code."""
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
    # Not ///, whose slashes Doxygen would show in verbatim text.
    return [f"{indent}/** {texts[0]}", *texts[1:], f"{indent}*/"]


def filtered(text: str) -> str:
    """A header with Doxygen's comments."""
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
    """Where the comment behind a line of code begins."""
    match = BEHIND.match(line)
    return len(match[1] + match[2]) if match and not COMMENT.match(line) else None


def declaration(line: str) -> str:
    """A line of code: attributes go, and the comment behind it is Doxygen's."""
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
