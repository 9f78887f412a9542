"""Token counts and the prompt cache."""

from standin import tokens
from tests.standin.client import assistant, messages_body, user

FRAME = 3


def marked(text: str, ttl: str | None = None) -> dict:
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"} | ({"ttl": ttl} if ttl else {})}


def count(cache: tokens.PrefixCache, *messages: object, model: str = "m", **more: object) -> tuple[int, int, int, int]:
    usage = cache.count(model, tokens.from_messages(messages_body(*messages, **more)))
    return usage.input_tokens, usage.cache_creation_5m, usage.cache_creation_1h, usage.cache_read


def test_a_text_counts_a_token_per_four_bytes_rounded_up():
    assert [tokens.of_text(text) for text in ("", "a", "abcd", "abcde", "ééé")] == [0, 1, 1, 2, 2]
    assert tokens.of_text("\ud800") == 1


def test_without_markers_everything_is_plain_input():
    assert count(tokens.PrefixCache(), "12345678", system="1234") == (FRAME + 3, 0, 0, 0)


def test_a_marked_prefix_is_created_once_and_read_afterwards():
    cache = tokens.PrefixCache()
    assert count(cache, user(marked("x" * 40), "y" * 8)) == (FRAME + 2, 10, 0, 0)
    assert count(cache, user(marked("x" * 40), "z" * 12)) == (FRAME + 3, 0, 0, 10)
    assert count(cache, user(marked("x" * 40)), model="other") == (FRAME, 10, 0, 0)


def test_a_growing_conversation_reads_what_it_had_marked_before():
    cache = tokens.PrefixCache()
    system = [marked("s" * 80, "1h")]
    assert count(cache, user(marked("q" * 40)), system=system) == (FRAME, 10, 20, 0)
    longer = (user("q" * 40), assistant("a" * 8), user(marked("r" * 4)))
    assert count(cache, *longer, system=system) == (FRAME, 3, 0, 30)


def test_the_clis_changing_identification_neither_counts_nor_spoils_the_cache():
    cache = tokens.PrefixCache()
    for number, expected in ((1, (FRAME, 10, 0, 0)), (2, (FRAME, 0, 0, 10))):
        header = {"type": "text", "text": f"x-anthropic-billing-header: {number}"}
        assert count(cache, user(marked("x" * 40)), system=[header]) == expected


def test_pictures_count_the_same_whatever_their_size():
    picture = {"type": "image", "source": {"type": "base64", "data": "A" * 100_000}}
    assert count(tokens.PrefixCache(), user(picture)) == (FRAME + 1500, 0, 0, 0)


def test_converse_cache_points_mark_the_piece_before_them():
    body = {
        "system": [{"text": "s" * 80}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [{"text": "q" * 40}, {"cachePoint": {"type": "default"}}, {"text": "r"}]}
        ],
    }
    usage = tokens.PrefixCache().count("m", tokens.from_converse(body))
    assert (usage.input_tokens, usage.cache_creation_5m, usage.cache_creation_1h) == (FRAME + 1, 10, 20)
