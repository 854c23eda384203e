"""``python -m pandas_genai.testing``: a loopback provider until stdin ends."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from pandas_genai.testing.batch import BatchFault
from pandas_genai.testing.faults import Fault
from pandas_genai.testing.provider import LoopbackProvider


def main(arguments: list[str] | None = None) -> int:
    """Run a provider, print its URLs as one line of JSON, end when stdin does."""
    parser = argparse.ArgumentParser(prog="python -m pandas_genai.testing", description=__doc__)
    parser.add_argument("--rule", help="module:function or file.py:function; text in, fields out")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--fault", action="append", default=[], help="JSON of a Fault's arguments; may be repeated"
    )
    parser.add_argument(
        "--batch-fault", action="append", default=[], help="the same of a BatchFault's arguments"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="an argument of LoopbackProvider; may be repeated",
    )
    given = parser.parse_args(arguments)
    options = {
        name: json.loads(value) for name, _, value in (o.partition("=") for o in given.option)
    }
    options.setdefault("port", given.port)
    rule = _load(given.rule) if given.rule else None
    faults = [Fault(**json.loads(fault)) for fault in given.fault]
    options["batch_faults"] = [BatchFault(**json.loads(fault)) for fault in given.batch_fault]
    with LoopbackProvider(rule, faults=faults, **options) as provider:
        urls = {"openai_url": provider.openai_url, "anthropic_url": provider.anthropic_url}
        sys.stdout.write(json.dumps(urls) + "\n")
        sys.stdout.flush()
        sys.stdin.read()
    return 0


def _load(name: str) -> Any:
    """Find a function by ``module:function`` or ``file.py:function``."""
    where, _, function = name.rpartition(":")
    return getattr(_module(where), function)


def _module(where: str) -> ModuleType:
    if not where.endswith(".py"):
        return importlib.import_module(where)
    spec = importlib.util.spec_from_file_location(Path(where).stem, where)
    if spec is None or spec.loader is None:
        raise ImportError(f"There is no module at {where}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
