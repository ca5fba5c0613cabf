"""What every test may use; `fake_bundle` can be imported in any folder of tests."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("tests", deadline=None)  # how fast a machine is proves nothing
settings.load_profile("tests")

if "PYTEST_XDIST_WORKER" in os.environ:  # the workers share the cores; set before torch is loaded
    os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def fake_bundle(tmp_path_factory) -> Path:
    """Folder of a small bundle, to be read only; open it with `encoder=FakeEncoder()`."""
    from fake_bundle import make_fake_bundle

    return make_fake_bundle(tmp_path_factory.mktemp("fake") / "bundle")


@pytest.fixture
def bundle_copy(fake_bundle, tmp_path) -> Path:
    """A bundle that a test may damage."""
    return shutil.copytree(fake_bundle, tmp_path / "copy")
