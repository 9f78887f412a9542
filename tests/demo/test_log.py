"""The end of the server's log, as a person is shown it."""

from pathlib import Path

from demo.log import last_words


def test_a_line_of_json_becomes_words_and_a_stack_its_last_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        '{"event":"run.failed","level":"error","timestamp":"now","run_id":"7",'
        '"exception":"Traceback\\n  File\\nOSError: no"}\n'
        '{"event":"Traceback:\\n  File\\nValueError: bad\\n","level":"error"}\n'
        "Segmentation fault\n"
    )
    assert last_words(log) == ["error run.failed run_id=7 OSError: no", "error ValueError: bad", "Segmentation fault"]


def test_only_the_last_lines_are_shown_and_none_is_long(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * 5000 + "\n" + "y\n" * 5 + "z" * 5000)
    assert last_words(log)[-6:] == [*["y"] * 5, "z" * 300]
    log.write_text("y\n" * 1000)
    assert len(last_words(log)) == 12
