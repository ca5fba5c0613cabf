"""Modules can be imported in any order and by many threads at once, and import no more than needed."""

import ast
import subprocess
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tpad

ROOT = Path(__file__).parents[1]

AT_ONCE = """
import importlib, sys, threading
steps = sys.argv[1:]
start, faults = threading.Barrier(len(steps)), []
def work(step):
    module, _, name = step.partition(":")
    start.wait()
    try:
        found = importlib.import_module(module)
        if name:
            getattr(found, name)
    except BaseException as error:
        faults.append(f"{step}: {error!r}")
threads = [threading.Thread(target=work, args=(step,)) for step in steps]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(*faults, sep="\\n", end="")
"""
"""Each argument is imported by a thread of its own: a module, or MODULE:NAME."""

STEPS = [
    "tpad.mllm",
    "tpad.mllm.batches",
    "tpad.mllm.model",
    "tpad.mllm.features",
    "tpad.mllm.adapters",
    "tpad.mllm.scoring",
    "tpad.mllm.image_cache",
    "tpad.mllm.loading",
    "tpad.mllm:MLLM",
    "tpad.mllm:FAMILIES",
    "tpad",
    "tpad.errors",
    "tpad:BundleError",
    "tpad:Bundle",
    "tpad:load",
    "tpad.data",
    "tpad.data.dataset",
    "tpad.data:Dataset",
    "eval.baselines",
    "eval.baselines.vsknn",
    "eval.baselines:VSKNN",
    "tpad.encoding.run",
    "tpad.encoding:Shards",
    "tpad.fetching:FetchConfig",
]


def test_threads_may_import_the_same_packages_at_once():
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, *STEPS], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "" and done.returncode == 0, done.stdout + done.stderr


def test_transformers_and_peft_are_imported_in_one_place():
    """Two threads that import parts of Transformers at once can fail."""
    importing = {
        str(path.relative_to(ROOT))
        for package in ("tpad", "eval", "app")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        if node.module.partition(".")[0] in ("transformers", "peft")
    }
    # Processes are joined, and the embedded model is pretrained, before there are other threads.
    early = ("tpad/distributed/processes.py", "tpad/embedded/")
    others = {name for name in importing if not name.startswith(early)}
    assert others == {"tpad/mllm/hugging_face.py"}


def test_no_module_imports_itself_by_way_of_others():
    """A module needs its package: one that a package imports is a cycle, too."""
    needed = _needed_modules()
    assert "tpad.mllm" in needed["tpad.mllm.model"]
    try:
        TopologicalSorter(needed).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_importing_tpad_imports_nothing_slow():
    code = "import tpad, sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "tpad" in loaded
    assert not {"torch", "pandas", "numpy", "PIL", "transformers"} & set(loaded)


def test_recommending_from_the_catalogue_imports_no_language_model(fake_bundle):
    code = (
        "import sys, tpad; shop = tpad.load(sys.argv[1]); shop.recommend(['item-0001'], 5); "
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    found = subprocess.check_output([sys.executable, "-c", code, str(fake_bundle)], text=True)
    assert "torch" in found.split()
    assert not {"transformers", "peft", "accelerate", "bitsandbytes"} & set(found.split())


def test_public_names_resolve():
    for name in tpad.__all__:
        assert getattr(tpad, name) is not None
    assert set(tpad.__all__) <= set(dir(tpad))
    with pytest.raises(AttributeError):
        tpad.nonsense  # noqa: B018


def _needed_modules() -> dict[str, set[str]]:
    """What each module of the project imports of it when it is imported."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in ("tpad", "eval", "app")
        for path in (ROOT / folder).rglob("*.py")
    }
    needed = {}
    for module, path in files.items():
        package = module.rpartition(".")[0]
        names = {package, *_imported(ast.parse(path.read_text("utf-8")).body)}
        needed[module] = {name for name in names if name in files} - {module}
    return needed


def _imported(body: Iterable[ast.stmt]) -> Iterator[str]:
    """Modules that statements import when they are run; those of functions and for types are not."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imported(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts = ("body", "orelse", "finalbody", "handlers")
            for inner in (getattr(node, part, []) for part in parts):
                yield from _imported(inner if isinstance(inner, list) else [])
