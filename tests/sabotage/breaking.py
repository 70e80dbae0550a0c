"""Break the product on purpose, one line at a time, and see that a test notices.

    python tests/sabotage/breaking.py [--only WORD] [--jobs 2]

Every bug of bugs.yaml is put into a copy of the sources, and its tests are run there. A bug that
they do not notice has survived, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
BUGS = Path(__file__).with_name("bugs.yaml")
PARTS = (
    "app", "docs", "hasura", "migrations", "sandbox", "tests",
    ".env.example", "CONTRIBUTING.md", "Makefile", "README.md", "pyproject.toml", "serverless.yml",
)  # fmt: skip
# Bytecode halves a start; what another process is just writing of it is gone a moment later.
HALF_WRITTEN = shutil.ignore_patterns("*.pyc.*")
OF_TESTS = shutil.ignore_patterns("__pycache__", "node_modules", "engine")
# What is looked at after a test, such as the order of its locks, is an error of its teardown.
FAILED = re.compile(r"^(?:FAILED (.*)|_+ ERROR at teardown of (.*?) _+$)", re.MULTILINE)
SECONDS_MAX = 900


@dataclass(frozen=True, slots=True)
class Bug:
    """One line that is wrong: `find` stands once in `file`, and `put` takes its place."""

    name: str
    file: str
    find: str
    put: str
    tests: tuple[str, ...]

    @property
    def places(self) -> int:
        return (ROOT / self.file).read_text(encoding="utf-8").count(self.find)


def bugs() -> list[Bug]:
    listed = yaml.safe_load(BUGS.read_text(encoding="utf-8"))
    return [Bug(**{**bug, "tests": tuple(bug["tests"].split())}) for bug in listed]


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of the sources."""
    with tempfile.TemporaryDirectory(prefix="sabotage-") as temporary:
        copy = Path(temporary)
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                left_out = OF_TESTS if part == "tests" else HALF_WRITTEN
                shutil.copytree(source, copy / part, ignore=left_out)
            else:
                shutil.copy(source, copy / part)
        yield copy


def is_caught(bug: Bug) -> bool:
    """Tell whether a test fails. Raises RuntimeError when the tests could not be run at all."""
    with copied() as copy:
        file = copy / bug.file
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(bug.find, bug.put), encoding="utf-8")
        return bool(failures(copy, bug.tests))


def failures(place: Path, tests: Iterable[str], jobs: int = 0) -> list[str]:
    """Run tests in a copy until one fails, and name it; all bugs' tests in so many processes.

    Raises RuntimeError when they could not be run at all.
    """
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--no-header"]
    options += ["-n", str(jobs), "--dist", "loadscope"] if jobs else []
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * SECONDS_MAX if jobs else SECONDS_MAX,
    )
    # A bug that keeps the tests from running at all is not caught by them.
    failed = [test or after for test, after in FAILED.findall(done.stdout)]
    if done.returncode not in (0, 1) or bool(done.returncode) != bool(failed):
        message = f"the tests did not run: {done.stdout[-600:]}{done.stderr[-300:]}"
        raise RuntimeError(message)
    return failed


def survivors(chosen: Iterable[Bug], jobs: int) -> list[str]:
    """Try each bug, telling how it went, and answer the names of those that nobody noticed."""
    chosen = list(chosen)
    survived = []
    with ThreadPoolExecutor(jobs) as pool:
        tried = zip(chosen, pool.map(is_caught, chosen), strict=True)
        for number, (bug, caught) in enumerate(tried, 1):
            word = "caught" if caught else "SURVIVED"
            print(f"{number:>3}/{len(chosen)}  {word:<9} {bug.name}", flush=True)
            if not caught:
                survived.append(bug.name)
    return survived


def main() -> int:
    parser = argparse.ArgumentParser("breaking.py", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="the bugs with this in their name")
    parser.add_argument("--jobs", type=int, default=2, help="how many are tried at once")
    given = parser.parse_args()
    chosen = [bug for bug in bugs() if given.only in bug.name]
    try:
        with copied() as copy:
            tests = sorted({test for bug in chosen for test in bug.tests})
            print(f"without any bug: the tests of {len(tests)} files and folders", flush=True)
            if failed := failures(copy, tests, given.jobs):
                print(f"sabotage: without any bug this fails: {failed[0]}", file=sys.stderr)
                return 2
        survived = survivors(chosen, given.jobs)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        print(f"sabotage: {error}", file=sys.stderr)
        return 2
    print(f"{len(chosen) - len(survived)} of {len(chosen)} bugs are caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
