"""What the four commands share: their exit codes, and every expected failure as one clear line."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from hpc_analysis.result import BadResult

GOOD, MISSED, UNUSABLE = 0, 1, 3


class Refused(Exception):
    """What was asked for cannot be done; its text is the one line that says why."""


class Parser(argparse.ArgumentParser):
    """Bad usage is exit code 3, as for milvus-hpc."""

    def error(self, message: str) -> NoReturn:
        self.exit(UNUSABLE, f"{self.prog}: error: {message}; {self.prog} --help says what there is\n")


def parser(name: str, description: str, epilog: str) -> Parser:
    return Parser(prog=name, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    draft = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Refused(f"{path}: cannot be written: {error.strerror}") from error


def make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"{path}: cannot be made: {error.strerror}") from error


def main(name: str, run: Callable[[Sequence[str]], int]) -> NoReturn:
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except (BadResult, Refused) as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        code = UNUSABLE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = GOOD
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
