"""Discovery compared with published methods: `python -m tests.benchmarks.discovery`.

Runs what isn't on disk yet and prints the tables. With `--dev`, on the development settings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.benchmarks.discovery.run import METHODS, SUITES, run_suite
from tests.benchmarks.discovery.tables import report


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.discovery", description=__doc__)
    parser.add_argument("--suite", nargs="+", choices=SUITES, default=list(SUITES), metavar="NAME", help=str(SUITES))
    parser.add_argument(
        "--method", nargs="+", choices=METHODS, default=list(METHODS), metavar="NAME", help=str(METHODS)
    )
    parser.add_argument("--dev", action="store_true", help="the settings for development instead of the judged ones")
    parser.add_argument("--tables", action="store_true", help="run nothing, print what is on disk")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the tables there too")
    options = parser.parse_args()
    if not options.tables:
        for suite in options.suite:
            run_suite(suite, options.method, options.dev)
    text = report(options.suite, options.dev)
    if options.out is not None:
        options.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
