"""Checkpoints of each family, and items."""

import shutil

import pytest
import torch
from mllm_models import MAKERS, make_idefics3, picture, save

from tpad.mllm import MLLM, ItemInput


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """These models are too small for threads to pay off."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", params=list(MAKERS))
def folder(request, tmp_path_factory):
    """A checkpoint folder of each family."""
    torch.manual_seed(0)
    model, processor = MAKERS[request.param]()
    with torch.no_grad():  # initial biases and norms would hide mistakes
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return save((model, processor), tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="session")
def loaded(folder):
    """The model, for tests that do not change it."""
    return MLLM.load(folder, device="cpu")


@pytest.fixture
def mllm(folder):
    """The model, for tests that add adapters to it."""
    return MLLM.load(folder, device="cpu")


@pytest.fixture(scope="session")
def items():
    """Items with and without image and text, of different lengths and shapes."""
    return [
        ItemInput(picture(0), "red case"),
        ItemInput(picture(1, (64, 32)), "a green apple juice of 1 l, and more words about it"),
        ItemInput(None, "Nova 7 phone, 128 GB"),
        ItemInput(picture(2, (33, 70)), ""),
        ItemInput(picture(3), "чехол для телефона"),
    ]


@pytest.fixture(scope="module")
def idefics3(tmp_path_factory):
    """The folder of an Idefics3 checkpoint, which tests must not change."""
    torch.manual_seed(0)
    return save(make_idefics3(), tmp_path_factory.mktemp("models") / "idefics3")


@pytest.fixture
def copy(idefics3, tmp_path):
    """A copy of that folder, which tests may change."""
    return shutil.copytree(idefics3, tmp_path / "copy")
