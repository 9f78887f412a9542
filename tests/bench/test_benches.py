"""That every bench still runs, with counts too small to say anything of speed, and that figures are judged rightly."""

import pytest

from bench import crowd, demo, first_token, sse
from bench.client import Heard, Turn, heard
from bench.figures import Figure, difference, rate, ratio, table

whole = [
    pytest.mark.slow,
    pytest.mark.needs_bubblewrap,
    pytest.mark.needs_cli,
    pytest.mark.timeout(300),
]


def test_a_figure_is_met_up_to_its_target_and_missed_beyond():
    assert ratio("", [5, 1, 3], [2], "ms", most=1.5).met is True
    assert ratio("", [4], [2], "ms", most=1.5).met is False
    assert difference("", [12], [2], "ms", most=10).met is True
    assert difference("", [13], [2], "ms", most=10).met is False
    assert rate("", [5], [10], "events", least=0.5).met is True
    assert rate("", [4], [10], "events", least=0.5).met is False


def test_a_figure_without_target_is_neither_met_nor_missed():
    assert ratio("", [4], [2], "ms").met is None


def test_the_table_says_plainly_what_is_missed():
    assert table([Figure("memory", "300 MiB", target="<= 250 MiB", met=False)]).endswith("MISSED")


def test_an_event_came_when_its_last_byte_came():
    first, second = b'id: 1\nevent: init\ndata: {"a":1}\n\n', b'id: 2\nevent: done\ndata: {"b":2}\n\n'
    pieces = [(1.0, first + second[:10]), (2.0, second[10:-1]), (3.0, second[-1:])]
    assert list(heard(pieces)) == [Heard(1.0, 1, "init", {"a": 1}), Heard(3.0, 2, "done", {"b": 2})]


def test_a_turn_with_a_missing_event_or_a_bad_end_is_at_fault():
    good = Heard(2.0, 2, "done", {"status": "success"})
    assert Turn("run", (Heard(1.0, 1, "init", {}), good)).faults == ()
    assert Turn("run", (good,)).faults == ("a hole in the numbers",)
    assert Turn("run", (Heard(1.0, 1, "done", {"status": "error"}),)).faults == ("no good end",)


async def test_the_demo_is_left_alone_where_it_would_install_packages(tmp_path, monkeypatch):
    for lock in demo.PREPARED:
        (tmp_path / lock).parent.mkdir(exist_ok=True)
        (tmp_path / lock).write_text("a lock that nothing was installed from")
    monkeypatch.setattr(demo, "ROOT", tmp_path)
    (figure,) = await demo.measure(rounds=1)
    assert figure.met is None
    assert figure.ours.startswith("skipped")


@pytest.mark.slow
async def test_the_sending_of_events_is_measured():
    figures = await sse.measure(rounds=1, events=200)
    assert [figure.name for figure in figures] == [f"sent per CPU second, {pace}" for pace in sse.PACES]


class TestWhole:
    pytestmark = whole

    async def test_first_texts_are_measured(self):
        figures = await first_token.measure(rounds=1)
        assert sum(figure.met is not None for figure in figures) == 3

    async def test_a_crowd_is_measured_and_finds_no_fault(self):
        figures = await crowd.measure(conversations=2)
        assert [figure.met for figure in figures if figure.met is not None] == [True, True, True]
