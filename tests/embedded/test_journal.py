"""A server's words are kept, within bounds."""

from pathlib import Path

from app.infrastructure.embedded.supervision import LOG_BYTES, Journal


def test_a_journal_never_grows_beyond_two_files_of_its_bound(tmp_path: Path):
    journal = Journal(tmp_path / "server.log")
    for _ in range(40):
        journal.append(b"x" * (LOG_BYTES // 10))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2 * LOG_BYTES
    assert len(list(tmp_path.iterdir())) == 2


def test_the_tail_is_the_newest_words(tmp_path: Path):
    journal = Journal(tmp_path / "server.log")
    assert journal.tail() == "it said nothing"
    journal.append(b"old\n" * 1000 + b"newest\n")
    assert journal.tail().endswith("newest\n")
    assert len(journal.tail()) <= 1000
