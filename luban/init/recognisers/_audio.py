"""Fields of unknown records that hold recordings, and the features that suit these."""

from __future__ import annotations

from typing import Any

from luban.core.errors import LubanError
from luban.data.media.audio import form_of, is_recording
from luban.data.media.media_files import Media, media_in

_TRIED = 16  #: recordings whose form is looked at


def features_for(column: list[Any]) -> dict[str, Any]:
    """Return the form of the recordings: the lowest of their rates, and short ones in detail."""
    forms = []
    for value in column[:_TRIED]:
        try:
            if isinstance(media := media_in({"audio": value}, "audio"), Media):
                forms.append(form_of(media))
        except LubanError:  # one may be damaged
            continue
    if not forms:
        return {}
    rate, short = min(rate for rate, _ in forms), min(seconds for _, seconds in forms) < 1
    slow = {"sampling_rate": rate, "feature_size": 40} if 1000 <= rate < 16_000 else {}
    return {**slow, **({"stride": 2} if short else {})}


def epochs_for(examples: int, steps: int) -> dict[str, Any]:
    """Return epochs enough for about so many steps of 32."""
    return {"num_train_epochs": min(200, max(10, round(steps * 32 / max(1, examples))))}


def recording_field(fields: dict[str, list[Any]]) -> str | None:
    """Return the first field that holds nothing but recordings."""
    return next((name for name, column in fields.items() if all(map(is_recording, column))), None)
