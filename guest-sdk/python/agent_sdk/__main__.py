"""``python -m agent_sdk build FILE [-o OUT.wasm]``: turns an integration's file into a component.

It calls ``componentize-py`` with this package's contract; whatever the file imports, at its top or theirs, is taken in.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
WORLD = "agent-integration"
#: The version that this package is tested with.
PINNED = "0.25.1"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m agent_sdk", description="Tools for integrations in Python")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="turn an integration's file into a component")
    build.add_argument("file", help="the file that ends with `Integration = agent_sdk.component(…)`")
    build.add_argument("-o", "--output", help="the component; FILE with .wasm unless given")
    arguments = parser.parse_args()
    return build_component(arguments.file, arguments.output)


def build_component(file: str, output: str | None = None) -> int:
    """Builds one component. Returns the exit code."""
    folder, name = os.path.split(os.path.abspath(file))
    module, extension = os.path.splitext(name)
    if extension != ".py" or not os.path.isfile(file):
        return fail(f"{file} is not a Python file; give the file that ends with `Integration = agent_sdk.component(…)`")
    if not module.isidentifier() or module in ("agent_sdk", "agent_integration", "wit_world"):
        return fail(f"{name} cannot be imported under this name; rename it, for example to app.py")
    beside = os.path.join(os.path.dirname(sys.executable), "componentize-py")
    tool = beside if os.path.exists(beside) else shutil.which("componentize-py")
    if tool is None:
        return fail(f"there is no componentize-py; install it: pip install componentize-py=={PINNED}")
    output = os.path.abspath(output or os.path.join(folder, module + ".wasm"))
    command = [tool, "--quiet", "-d", os.path.join(HERE, "package.wit"), "-w", WORLD, "componentize", module]
    command += ["-p", folder, "-p", os.path.dirname(HERE), "-o", output]
    # The builder looks for packages in the environment that is activated; this one need not be.
    environment = dict(os.environ, **({"VIRTUAL_ENV": sys.prefix} if sys.prefix != sys.base_prefix else {}))
    code = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
    if code == 0:
        print(f"{output} ({os.path.getsize(output) / 1e6:.1f} MB)")
    return code


def fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
