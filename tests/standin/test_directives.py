"""The directive language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standin import directives
from standin.directives import Agent, Call, Fail, Pause, Say


def said(action: object) -> str:
    assert isinstance(action, Say)
    return "".join(action.pieces)


def only_step(text: str) -> list[directives.Action]:
    script = directives.parse(text)
    assert script is not None
    (step,) = script.steps
    return step.actions


def test_a_text_without_directives_is_no_script():
    assert directives.parse("mail me at a@text.example\nplease") is None


def test_lines_around_directives_are_ignored():
    actions = only_step("hello\n  @text one two\nbye\n@think hm")
    assert [said(action) for action in actions] == ["one two", "hm"]
    assert [action.thinking for action in actions] == [False, True]


def test_text_knows_escapes_and_repetition():
    assert said(only_step(r"@text a\nb\u2028\\n")[0]) == "a\nb\u2028\\n"
    assert said(only_step("@text*3 go on")[0]) == "go on go on go on "


def test_stream_writes_numbered_tokens():
    action = only_step("@stream n=1002 rate=0")[0]
    assert action == Say(directives.numbered(1002), rate=0)
    assert list(action.pieces[998:]) == ["998 ", "999 ", "000 ", "001 "]


def test_tool_lines_in_a_row_are_one_step_and_what_follows_is_the_next():
    script = directives.parse('@text hi\n@tool A {"x": 1}\n@tool B\n@agent {"prompt": "@text in"}\n@wait 2\n@tool C {}')
    assert script is not None
    first, second = script.steps
    assert first.actions[1:] == [Call("A", {"x": 1}), Call("B", {}), Agent({"prompt": "@text in"})]
    assert second.actions == [Pause(2.0), Call("C", {})]


def test_tool_input_may_span_lines_and_hold_lines_that_look_like_directives():
    script = directives.parse('@tool Write {"content": "\n@text no\n",\n "file_path": "x"}\n@text yes')
    assert script is not None
    assert script.steps[0].actions == [Call("Write", {"content": "\n@text no\n", "file_path": "x"})]
    assert said(script.steps[1].actions[0]) == "yes"


def test_step_defaults_usage_and_failure_are_read():
    script = directives.parse(
        "@default ttft=0.3 rate=80\n@text a\n@step\n@ttft 1\n@usage input=5\n@fail cut after=2 times=1"
    )
    assert script is not None
    assert (script.ttft, script.rate) == (0.3, 80)
    assert script.steps[1].ttft == 1
    assert script.steps[1].usage == {"input": 5}
    assert script.steps[1].actions == [Fail("cut", 2, 1)]


@pytest.mark.parametrize(
    "line",
    [
        "@dance",
        "@tool",
        "@tool Bash {oops",
        "@tool Bash [1]",
        "@wait soon",
        "@wait -1",
        "@wait nan",
        "@fail",
        "@fail softly",
        "@fail cut when=2",
        "@stream n=",
        "@stream n=9999999",
        "@recall (",
        "@recall",
        "@usage price=3",
        "@text*9999999 a b",
    ],
)
def test_a_directive_that_cannot_be_followed_is_answered_in_words(line):
    script = directives.parse(f"{line}\n@text still here")
    assert script is not None
    words = [said(action) for step in script.steps for action in step.actions]
    assert words[0].startswith("Stand-in model: I cannot follow the directive @")
    assert words[-1] == "still here"


@given(st.text(alphabet=st.sampled_from('@textoolfaiwn {}[]"\\\n=*0129.'), max_size=80))
def test_no_text_breaks_the_parser(text):
    directives.parse(text)
