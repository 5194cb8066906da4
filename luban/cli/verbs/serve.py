"""Serve a trained model over HTTP, the OpenAI way."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from luban.cli.terminal import terminal
from luban.data.media.media_files import check_readable
from luban.inference.predictor import file_fields, servable
from luban.run import Run
from luban.serving.route import Limits, Service
from luban.serving.server import serve
from luban.trained import load_trained

LIMITS = {
    "body_bytes": "largest request body",
    "upload_bytes": "largest request body where it holds images or recordings",
    "held_bytes": "most bytes of request bodies held at once, of all clients; more get 503",
    "header_bytes": "largest head of a request",
    "connections": "most connections at once, of all clients",
    "prompt_tokens": "longest prompt",
    "max_tokens": "most tokens in one answer",
    "choices": "most answers in one request",
    "logprobs": "most probabilities told in one answer: tokens times (1 + alternatives)",
    "records": "most records in one request",
    "record_characters": "longest text in a record",
    "waiting": "most requests that wait for the model; more get 429",
    "seconds": "longest time for one request",
    "idle_seconds": "longest time for a client to send the next part, or to read it",
    "grace_seconds": "longest time to finish when stopping",
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run directory")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines connect")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--name", default=None, help="the model's name; the run's by default")
    parser.add_argument(
        "--api-key", default="", help="what clients must send; LUBAN_API_KEY by default"
    )
    for field in fields(Limits):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            help=LIMITS[field.name],
        )


def perform(args: argparse.Namespace) -> int:
    """Load the model and answer requests until told to stop."""
    console = terminal()
    run = Run.open(Path(args.target), console)
    task, module = load_trained(run)
    check_readable(file_fields(task.record_schema()))
    model = servable(task, module)
    limits = Limits(**{field.name: getattr(args, field.name) for field in fields(Limits)})
    name = args.name or run.recipe.name
    service = Service(model=model, name=name, limits=limits, api_key=args.api_key)

    def ready(url: str) -> None:
        console.rest()  # what comes waits for its clients
        console.say(f"{name} is served at {url}/v1 (health: {url}/health)")
        if not service.api_key and args.host not in ("127.0.0.1", "localhost", "::1"):
            console.say("no key is asked for: set LUBAN_API_KEY, or anyone who connects may use it")

    serve(service, host=args.host, port=args.port, ready=ready)
    return 0
