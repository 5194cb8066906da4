"""Continue a prompt with a trained model, as a stream of text."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from luban.cli.console import Terminal
from luban.cli.sampling import sampling_options, sampling_params
from luban.core.errors import RunError
from luban.run import Run
from luban.trained import load_trained


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run directory")
    parser.add_argument("--prompt", default="", help="text to continue; - reads standard input")
    sampling_options(parser, max_tokens=256, temperature=1.0, top_p=1.0)
    parser.add_argument("-n", type=int, default=1, help="number of continuations")


def perform(args: argparse.Namespace) -> int:
    """Print the continuation as it is made."""
    run = Run.open(Path(args.target), Terminal())
    task, module = load_trained(run)
    generator = task.generator(module)
    if generator is None:
        raise RunError(
            f"a run of {task.name} continues no prompts.",
            where=run.path,
            fix=f"luban predict {run.path} --text TEXT.",
        )
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt.replace("\\n", "\n")
    params = sampling_params(args)
    if args.json:
        answers = [asdict(answer) for answer in generator.generate(prompt, params, args.n)]
        print(json.dumps(answers, ensure_ascii=False))
    elif args.n == 1:
        print(prompt, end="")
        for chunk in generator.stream(prompt, params):
            print(chunk.text, end="", flush=True)
        print()
    else:
        for answer in generator.generate(prompt, params, args.n):
            print(f"--- {answer.index + 1} of {args.n} ({answer.finish_reason})")
            print(prompt + answer.text)
    return 0
