"""`python3 build.py` builds {{name}}.wasm. The first time, and whenever requirements.txt has changed, it makes `.venv` with what
stands there; that is all that needs the network. The SDK is used where it is, so that a newer copy counts at once."""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
SDK = HERE / {{sdk}}
VENV = HERE / ".venv"
PYTHON = VENV / "bin" / "python"


def make_environment():
    requirements = HERE / "requirements.txt"
    made_of, wanted = VENV / "made-of", f"{SDK}\n{requirements.read_text()}"
    if made_of.exists() and made_of.read_text() == wanted:
        return
    print("Making .venv, with what requirements.txt says", flush=True)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", requirements], check=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([PYTHON, "-c", where], check=True, capture_output=True, text=True).stdout.strip()
    pathlib.Path(packages, "agent_sdk.pth").write_text(f"{SDK}\n")
    # Last, so that what was interrupted is done again.
    made_of.write_text(wanted)


try:
    make_environment()
    subprocess.run([PYTHON, "-m", "agent_sdk", "build", HERE / "app.py", "-o", HERE / "{{name}}.wasm"], check=True)
except subprocess.CalledProcessError as error:
    # What failed has said why.
    sys.exit(error.returncode or 1)
