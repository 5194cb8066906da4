"""What the server answers is counted in the units that its clients count in."""

from __future__ import annotations

import pytest

from tests.serving.running import client_of, scripted, serving


@pytest.mark.parametrize(
    ("text", "offsets"),
    [
        ("漢字x", [0, 0, 0, 1, 1, 1, 2]),
        ("aé漢b", [0, 1, 1, 2, 2, 2, 3]),
        ("x🪚🪚", [0, 1, 1, 1, 1, 2, 2, 2, 2]),
        ("plain", [0, 1, 2, 3, 4]),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_offsets_count_characters(text: str, offsets: list[int], stream: bool) -> None:
    """The tokens are bytes: a character of several tokens has one place (S6)."""
    asked = {"model": "tiny", "prompt": "p", "temperature": 0, "logprobs": 1, "max_tokens": 16}
    with serving(scripted(text)) as server, client_of(server) as client:
        if stream:
            pieces = list(client.completions.create(**asked, stream=True))  # type: ignore[call-overload]
            parts = [piece.choices[0].logprobs for piece in pieces if piece.choices]
            found = [at for part in parts if part for at in part.text_offset]
        else:
            found = client.completions.create(**asked).choices[0].logprobs.text_offset  # type: ignore[call-overload]
    assert found[: len(offsets)] == offsets
