"""The app on Hugging Face Spaces: the folder that is sent is whole, and starts as it does there."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from gradio_client import Client

from app.deploy.spaces import assemble

ROOT = Path(__file__).resolve().parents[2]
PORT = 7860
PYTHON = "TPAD_SPACE_PYTHON"  # an interpreter that has the requirements already: saves minutes
# Everything that the app can see is read-only but /tmp; and of that the Space and its packages.
READ_ONLY = """
mount --bind /tmp /tmp
for folder in "$@"; do mount --bind "$folder" "$folder"; mount -o remount,bind,ro "$folder"; done
mount -o remount,bind,ro /
exec "$PYTHON" "$APP"
"""
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "sklearn",
    "scipy.stats",
    "faiss",
    "huggingface_hub.hf_api",
)
IMPORTS = """
import json, pkgutil, sys
from importlib import import_module
sys.path.insert(0, sys.argv[1])
import_module("app.shell.results"), import_module("app.ui")
heavy = [name for name in sys.argv[2:] if name in sys.modules]
app = import_module("app")
names = [m.name for m in pkgutil.walk_packages(app.__path__, "app.") if m.name != "app.__main__"]
files = [import_module(name).__file__ for name in names]
files += [sys.modules[name].__file__ for name in ("eval", "tpad")]
print(json.dumps([heavy, names, files]))
"""


@pytest.fixture(scope="module")
def imported(fake_bundle, tmp_path_factory):
    """What importing the app from a Space's folder, and from nowhere else, brings."""
    folder = tmp_path_factory.mktemp("space") / "space"
    assemble(folder, "me/shop", fake_bundle)
    done = subprocess.run(
        [sys.executable, "-P", "-c", IMPORTS, folder, *HEAVY],
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.mktemp("elsewhere"),
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    return folder, *json.loads(done.stdout.splitlines()[-1])


def test_all_of_the_app_can_be_imported_from_the_folder_alone(imported):
    folder, _, names, files = imported
    assert {"app.api", "app.deploy.spaces", "app.ui", "app.recommend.tab"} <= set(names)
    assert [file for file in files if not file.startswith(str(folder))] == []
    for kind in ("templates", "static"):
        own = sorted(p.name for p in (ROOT / "app" / kind).rglob("*.*"))
        assert own and sorted(p.name for p in (folder / "app" / kind).rglob("*.*")) == own


def test_what_is_slow_to_import_is_not_needed_to_build_the_page(imported):
    _, heavy, _, _ = imported
    assert set(heavy) <= {"huggingface_hub.hf_api"}  # which Gradio imports itself


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """The demo's Space, as a dry run leaves it."""
    folder = tmp_path_factory.mktemp("demo-space") / "space"
    subprocess.run(
        [sys.executable, "-m", "app", "deploy", "me/shop", "--dry-run", "--out", folder],
        cwd=ROOT,
        check=True,
    )
    return folder


@pytest.fixture(scope="module")
def python(space, tmp_path_factory):
    """Python 3.11 with nothing but the Space's requirements."""
    if os.environ.get(PYTHON):
        return Path(os.environ[PYTHON])
    base = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
    if base is None:
        pytest.skip("Python 3.11 is not installed")
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([base, "-m", "venv", folder], check=True)
    subprocess.run(
        [folder / "bin" / "pip", "install", "-q", "-r", space / "requirements.txt"], check=True
    )
    return folder / "bin" / "python"


def may_remount() -> bool:
    """Whether this user may make a read-only view of the file system."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return False
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", "mount --bind /tmp /tmp && mount -o remount,bind,ro /"],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def free_port() -> int:
    """The port of a Space, or any that is free."""
    for port in (PORT, 0):
        with closing(socket.socket()) as found:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                found.bind(("0.0.0.0", port))
            except OSError:
                continue
            return found.getsockname()[1]
    raise AssertionError("no port is free")


@contextmanager
def started(space: Path, python: Path, cwd: Path, read_only: bool):
    """The app as Spaces start it; yields its address."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(space),
        "SPACE_ID": "me/shop",
        "SYSTEM": "spaces",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": str(port),
        "TPAD_READ_ONLY": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHON": str(python),
        "APP": "app/__main__.py" if cwd == space else str(space / "app" / "__main__.py"),
    }
    if read_only:
        packages = python.parent.parent
        command = ["unshare", "-m", "sh", "-e", "-c", READ_ONLY, "sh", str(space), str(packages)]
    else:
        command = [str(python), environment["APP"]]
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if "Running on" in line:
                break
        else:
            pytest.fail("The Space did not start:\n" + "".join(said))
        yield f"http://127.0.0.1:{port}", said
    finally:
        process.terminate()
        rest, _ = process.communicate()
        said.append(rest)


@pytest.mark.slow
@pytest.mark.parametrize("elsewhere", [False, True], ids=["its root", "another folder"])
def test_the_space_starts_and_recommends(space, python, elsewhere):
    read_only = may_remount()
    before = sorted(space.rglob("*"))
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as other,
        started(space, python, Path(other) if elsewhere else space, read_only) as (url, said),
    ):
        with urllib.request.urlopen(url) as answer:
            page = answer.read().decode()
        assert "TPAD" in page
        config = json.load(urllib.request.urlopen(f"{url}/config"))
        assert config["space_id"] == "me/shop"
        cards = next(
            c["props"]["value"] for c in config["components"] if c["props"].get("elem_id") == "next"
        )
        picture = re.search(r"pictures/item/\d+\?v=\w+", cards)
        with urllib.request.urlopen(f"{url}/{picture[0]}") as answer:
            assert answer.headers["content-type"].startswith("image/")
        client = Client(url, verbose=False)
        item = re.search(r'data-id="([^"]+)"', cards)[1]
        found = client.predict([item, {"title": "red case"}], k=5, api_name="/recommend")
        assert [row["rank"] for row in found] == [1, 2, 3, 4, 5]
        assert client.predict(metric="MRR@20", api_name="/leaderboard")
    # Gradio's reloader for developers misses a package that Hugging Face installs, and gives up.
    failed = [part for part in "".join(said).split("Exception in thread") if "Traceback" in part]
    assert [part for part in failed if "watchfn_spaces" not in part] == []
    if read_only:
        assert sorted(space.rglob("*")) == before
    else:
        pytest.skip("all but the read-only file system was tested: this user may not remount it")
