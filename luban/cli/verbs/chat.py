"""Talk with a trained model; it remembers what was said."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from luban.cli.sampling import sampling_options, sampling_params
from luban.cli.terminal import Terminal, terminal
from luban.core.contracts import Generative
from luban.core.errors import RequestError, RunError
from luban.inference.chat import Conversation
from luban.inference.sampling import SamplingParams
from luban.inference.text import TextGenerator
from luban.run import Run
from luban.trained import load_trained

_HELP = "/reset forgets the conversation, /exit (or Ctrl-D) ends it."


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run that has learned to answer")
    parser.add_argument("--system", default="", help="a message that stands before all others")
    sampling_options(parser, max_tokens=512, temperature=0.7, top_p=0.95)


def perform(args: argparse.Namespace) -> int:
    """Answer line by line: those of a terminal, or of standard input.

    Returns 2 if a line could not be answered.
    """
    console = terminal()
    run = Run.open(Path(args.target), console)
    task, module = load_trained(run)
    generator = task.generator(module) if isinstance(task, Generative) else None
    if not isinstance(generator, TextGenerator) or generator.chat is None:
        raise RunError(
            f"a run of {task.name} cannot chat: it has no chat template.",
            where=run.path,
            expected="a run with a chat template",
            fix=f"luban predict {run.path}."
            if generator is None
            else f"luban generate {run.path} --prompt TEXT.",
        )
    params = sampling_params(args)
    console.rest()  # what comes waits for its user
    conversation, code = Conversation(generator, args.system), 0
    if sys.stdin.isatty():
        console.say(_HELP)
    for line in _lines():
        if line == "/exit":
            break
        if line == "/reset":
            conversation.reset()
            console.say("the conversation begins anew.")
        elif line:
            try:
                _answer(conversation, line, params, console, as_json=args.json)
            except RequestError as error:
                code = 0 if sys.stdin.isatty() else 2
                console.say(f"luban: {error}")
                if args.json:
                    print(json.dumps({"error": str(error)}, ensure_ascii=False), flush=True)
    return code


def _answer(
    conversation: Conversation,
    line: str,
    params: SamplingParams,
    console: Terminal,
    *,
    as_json: bool,
) -> None:
    gone, chunks = conversation.ask(line, params)
    if gone:
        console.say(f"the context is full: the {gone} oldest turn(s) are forgotten.")
    reason, tokens = "", 0
    try:
        for chunk in chunks:
            reason, tokens = chunk.finish_reason or reason, chunk.completion_tokens
            if not as_json:
                print(chunk.text, end="", flush=True)
    except KeyboardInterrupt:
        if not sys.stdin.isatty():
            raise
        chunks.close()  # an answer broken off is not remembered, nor is its question
        conversation.messages.pop()
        reason = "interrupted"
    if not as_json:
        print(flush=True)
    if as_json:
        said = conversation.messages[-1]["content"] if reason != "interrupted" else ""
        answer = {
            "role": "assistant",
            "content": said,
            "finish_reason": reason,
            "completion_tokens": tokens,
            "forgotten_turns": gone,
        }
        print(json.dumps(answer, ensure_ascii=False), flush=True)


def _lines() -> Iterator[str]:
    """Yield what is said, line by line, without blanks at the ends."""
    if not sys.stdin.isatty():
        yield from (line.strip() for line in sys.stdin)
        return
    while True:
        try:
            yield input("> ").strip()
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            return
