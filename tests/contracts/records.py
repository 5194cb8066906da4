"""Records for every task: few, and odd ones among them."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from luban.data.media.audio import to_wav
from luban.data.media.images import to_png
from tests.contracts.samples import SPOKEN


def picture(seed: int, height: int = 9, width: int = 8) -> str:
    """Return the PNG of random pixels as base64."""
    shape = (height, width, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return base64.b64encode(to_png(pixels)).decode()


def _sound(seconds: float, pitch: float) -> str:
    """A tone as a WAV file in base64."""
    wave = np.sin(2 * np.pi * pitch * np.arange(round(8000 * seconds)) / 8000)
    return base64.b64encode(to_wav((8000 * wave).astype(np.int16), 8000)).decode()


_SOUNDS = [_sound(*form) for form in ((0.3, 300), (0.14, 500), (0.42, 800), (0.2, 1200))]

#: Sizes of images, and the boxes on them.
SIGHTS: list[tuple[tuple[int, int], list[list[float]]]] = [
    ((24, 32), [[2, 3, 12, 20], [10, 2, 30, 22.5]]),
    ((40, 20), []),
    ((12, 16), [[0, 0, 16, 12], [4, 4, 8, 8], [3, 2, 9, 11]]),
    ((50, 60), [[20, 20, 60, 50]]),
]
#: Records for a task: the first entry whose fields it can read.
RECORDS: dict[str, list[dict[str, Any]]] = {
    "translation": [
        {"source": source, "target": target, "_where": f"t:{row}"}
        for row, (source, target) in enumerate(
            [
                ("to be", "sein"),
                ("or not", ["oder nicht", "oder nein"]),
                ("a longer sentence", "ein langer"),
                ("月", "Mond"),
            ]
        )
    ],
    "summarization": [
        {"document": document, "summary": summary, "_where": f"s:{row}"}
        for row, (document, summary) in enumerate(
            [
                ("床前明月光，疑是地上霜。举头望明月，低头思故乡。", "月"),
                ("The fox ran. It met a dog.", ["A fox ran", "Fox"]),
                ("短", "短"),
                ("No news. None at all.", "No news"),
            ]
        )
    ],
    "speech-recognition": [
        {"audio": audio, "text": text, "_where": f"r:{row}"}
        for row, (audio, text) in enumerate(
            zip(_SOUNDS, ["To be", "or", "See it", "月光"], strict=True)
        )
    ],
    "audio-classification": [
        {"audio": audio, "label": "ab"[row % 2], "_where": f"r:{row}"}
        for row, audio in enumerate(_SOUNDS)
    ],
    "text-generation": SPOKEN,
    "fill-mask": SPOKEN,
    "instruction-tuning": [
        {
            "messages": [
                {"role": role, "content": content}
                for role, content in zip(["user", "assistant"] * 2, said.split("|"), strict=False)
            ],
            "_where": f"i:{row}",
        }
        for row, said in enumerate(["to be|or not|?|be", "何|月", "spell it|<|im_end|>", "a|b"])
    ],
    "multiple-choice": [
        {"query": "the sky is", "choices": ["blue", "a very long word", "月"], "gold": 0},
        {"query": "", "choices": ["yes", "no"], "gold": 1},
        {"query": "床前", "choices": ["明月光", "dark"], "gold": 0, "_where": "m:3"},
        {"context_options": ["he", "she"], "continuation": "ran.", "gold": 1},
    ],
    "image-classification": [
        {"image": picture(row, 32, 32), "label": "ab"[row % 2], "_where": f"p:{row}"}
        for row in range(5)
    ],
    "object-detection": [
        {
            "image": picture(row, *size),
            "objects": [
                {"label": label, "box": box} for label, box in zip("abac", boxes, strict=False)
            ],
            "_where": f"d:{row}",
        }
        for row, (size, boxes) in enumerate(SIGHTS)
    ],
    "image-generation": [
        {"image": picture(row), "label": "ab"[row % 2], "_where": f"g:{row}"} for row in range(5)
    ],
    "text-classification": [{**said, "label": "ab"[row % 2]} for row, said in enumerate(SPOKEN)],
    "text-regression": [{**said, "value": 1.5 * row} for row, said in enumerate(SPOKEN)],
    "question-answering": [
        {
            "question": question,
            "context": context,
            "answers": [{"text": text, "start": context.find(text)} for text in texts],
            "_where": f"q:{row}",
        }
        for row, (question, context, texts) in enumerate(
            [
                ("Who ran?", "The quick fox ran. It met a dog.", ["fox", "The quick fox"]),
                ("Where?", "At home.", ["home"]),
                ("Why?", "The quick fox ran. It met a dog.", []),
                ("谁?", "床前明月光，疑是地上霜。", ["明月"]),
            ]
        )
    ],
    "token-classification": [
        {"tokens": list(text), "tags": tags.split(), "_where": f"t:{row}"}
        for row, (text, tags) in enumerate(
            [
                ("李白生于碎叶", "B-NAME E-NAME O O B-LOC E-LOC"),
                ("他在京", "O O S-LOC"),
                ("见杜子美也", "O B-NAME M-NAME E-NAME O"),
                ("否", "O"),
            ]
        )
    ],
}
