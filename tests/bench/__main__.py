"""`./dev bench NAME [--json FILE]` runs one benchmark; `./dev bench --list` names them all."""

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

import tests.bench


def names() -> list[str]:
    found = [module.name for module in pkgutil.iter_modules(tests.bench.__path__)]
    return sorted(name.replace("_", "-") for name in found if not name.startswith("_"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=names())
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as one flat JSON object")
    parser.add_argument("--only", metavar="NAME", default="", help="only this part, of benchmarks that have several")
    parser.add_argument("--list", action="store_true", help="name every benchmark")
    arguments = parser.parse_args()
    if arguments.list or not arguments.name:
        for name in names():
            module = importlib.import_module(f"tests.bench.{name.replace('-', '_')}")
            print(f"{name:16} {(module.__doc__ or '').splitlines()[0]}")
        return 0
    module = importlib.import_module(f"tests.bench.{arguments.name.replace('-', '_')}")
    only = [arguments.only] if arguments.only else []
    if only and arguments.only not in getattr(module, "PARTS", ()):
        parser.error(f"--only: one of {', '.join(getattr(module, 'PARTS', ())) or 'none'}")
    figures = module.run(lambda text: print(text, flush=True), *only)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
        print(f"figures: {arguments.json}", file=sys.stderr)
    else:
        print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
