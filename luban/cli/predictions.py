"""One prediction on a terminal: bars for scores, a table of what was found, an answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH = 24  #: characters of a bar that is full
_MOST = 10  #: scores or objects shown


def show_prediction(console: Console, prediction: Any) -> None:
    """Print a prediction, by what it holds; anything else as JSON."""
    match prediction:
        case {"masks": [*masks]}:
            for number, tokens in enumerate(masks, 1):
                if len(masks) > 1:
                    console.print(Text(f"mask {number}", "bold"))
                likely = {str(token["token"]): float(token["score"]) for token in tokens}
                console.print(_bars(likely, set(list(likely)[:1])))
        case {"scores": dict() as scores}:
            chosen = prediction.get("labels", [prediction.get("label")])
            console.print(_bars(scores, set(chosen)))
        case {"entities": [*entities]}:
            console.print(_entities(entities) if entities else "no entities")
        case {"objects": [*objects]}:
            console.print(_objects(objects) if objects else "no objects")
        case {"answer": str(answer)}:
            line = Text(answer, "bold") if answer else Text("no answer")
            console.print(line, _facts(prediction, ("score", "no_answer")))
        case {"text": str(text)}:
            console.print(Text(text), _facts(prediction, ("score",)))
        case {"value": int() | float() as value}:
            console.print(f"{value:.6g}")
        case _:
            console.print(json.dumps(prediction, ensure_ascii=False))


def _bars(scores: Mapping[str, float], chosen: set[Any]) -> Table:
    """Return scores from 0 to 1 as bars, largest first; what was chosen is bold."""
    table = Table.grid(padding=(0, 2))
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    for name, score in ranked[:_MOST]:
        bar = "█" * round(_WIDTH * min(1.0, max(0.0, score)))
        style = "bold" if name in chosen else ""
        table.add_row(Text(name, style), Text(f"{score:.3f}", style), Text(bar, "cyan"))
    if len(ranked) > _MOST:
        table.add_row(f"… {len(ranked) - _MOST} more", "", "")
    return table


def _entities(entities: list[Any]) -> Table:
    table = Table("type", "text", "from", "to", "score", box=None, pad_edge=False)
    for entity in entities:
        score = entity.get("score")
        table.add_row(
            Text(str(entity["type"]), "bold"),
            Text(str(entity.get("text", ""))),
            str(entity["start"]),
            str(entity["end"]),
            "" if score is None else f"{score:.3f}",
        )
    return table


def _objects(objects: list[Any]) -> Table:
    """Return the surest objects, in the order given, with the edges of their boxes."""
    table = Table("label", "score", "left", "top", "right", "bottom", box=None, pad_edge=False)
    for one in objects[:_MOST]:
        edges = [f"{edge:.1f}" for edge in one["box"]]
        table.add_row(Text(str(one["label"]), "bold"), f"{one['score']:.3f}", *edges)
    if len(objects) > _MOST:
        table.add_row(f"… {len(objects) - _MOST} more")
    return table


def _facts(prediction: Mapping[str, Any], names: tuple[str, ...]) -> Text:
    found = [
        f"{name.replace('_', ' ')} {prediction[name]:.3f}"
        for name in names
        if isinstance(prediction.get(name), int | float)
    ]
    return Text(f"({', '.join(found)})" if found else "", "dim")
