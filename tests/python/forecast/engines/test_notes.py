"""Workers' notes are merged by kind, and their errors are raised with their own types."""

import pytest

from memattn.errors import DataError, refused
from memattn.forecast.data.long_rows import Note
from memattn.forecast.engines.notes import as_note, read_notes


def test_notes_of_one_kind_are_merged_and_counted() -> None:
    texts = [as_note(Note("gaps", f"{k} rows missing", k)) for k in (3, 2)]
    texts += [as_note(Note("zones", "?", 1))]
    assert read_notes(texts) == (
        Note("gaps", "5 in 2 parts of the data; in one of them: 2 rows missing", 5),
        Note("zones", "?", 1),
    )
    assert read_notes(reversed(texts)) == read_notes(texts)
    assert read_notes([]) == ()


def test_an_error_keeps_its_type_message_and_fields() -> None:
    error = DataError("gap", "found {freq}", line=3, column="y", argument="freq")
    with pytest.raises(DataError) as caught:
        read_notes([as_note(error)])
    assert str(caught.value) == str(error)
    assert vars(caught.value) == vars(error)
    with pytest.raises(DataError, match=r"^f: h: found 3$"):
        read_notes([as_note(refused("f", "h", "found 3"))])
    with pytest.raises(TypeError, match=r"^no table$"):
        read_notes([as_note(TypeError("no table"))])
    with pytest.raises(ValueError, match=r"^too long$"):
        read_notes([as_note(ValueError("too long"))])


def test_the_first_of_several_errors_is_raised_and_the_others_counted() -> None:
    texts = [as_note(DataError("gap", f"found {k}")) for k in (2, 1, 3)]
    with pytest.raises(DataError, match=r"^found 1 .and errors in 2 other parts of the data.$"):
        read_notes([*texts, as_note(Note("gaps", "one", 1))])
