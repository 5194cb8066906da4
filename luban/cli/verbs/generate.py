"""Continue a prompt with a trained model, as a stream of text."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from luban.cli.console import Terminal
from luban.core.errors import RunError
from luban.inference.sampling import SamplingParams
from luban.run import Run
from luban.trained import load_trained


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run directory")
    parser.add_argument("--prompt", default="", help="text to continue; - reads standard input")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=1.0, help="0: always the likeliest")
    parser.add_argument("--top-k", type=int, default=0, help="0: no bound")
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--min-p", type=float, default=0.0)
    parser.add_argument("--repetition-penalty", type=float, default=1.0)
    parser.add_argument("--stop", action="append", default=[], help="end here; may be repeated")
    parser.add_argument("--seed", type=int, default=None)
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
    params = SamplingParams(
        max_tokens=args.max_tokens,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        min_p=args.min_p,
        repetition_penalty=args.repetition_penalty,
        stop=tuple(args.stop),
        seed=args.seed,
    )
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
