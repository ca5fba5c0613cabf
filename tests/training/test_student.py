"""The student: features with gradients, collected and paid back once (gradient caching)."""

import numpy as np
import pytest
import torch
from PIL import Image

from tpad.mllm import MLLM, ItemInput, LoraSettings, encode_images, encode_items
from tpad.mllm.instructions import DESCRIBE
from tpad.model.item_features import concatenated, named_features
from tpad.model.scaler import FeatureScaler
from tpad.training.stages.student import ADAPTER, Student

LAYERS = (4, 0, 2)
ITEMS = [
    ItemInput(0, "Kipo phone case Nova 5"),
    ItemInput(1, "jam"),
    ItemInput(None, "a title alone, 500 g, and more of it"),
    ItemInput(2, ""),
    ItemInput(None, ""),
]


@pytest.fixture
def mllm(base_folder) -> MLLM:
    mllm = MLLM.load(base_folder, device="cpu")
    mllm.fast_dtype = torch.float32
    torch.manual_seed(1)
    mllm.adapters.add(ADAPTER, LoraSettings(rank=4, alpha=8.0))
    with torch.no_grad():  # fresh adapters change nothing, and hide mistakes
        for parameter in mllm.adapters.parameters(ADAPTER):
            parameter.add_(0.1 * torch.randn_like(parameter))
    return mllm


@pytest.fixture
def images(mllm):
    colours = ("red", "teal", "black")
    return encode_images(mllm, [Image.new("RGB", (96, 96), colour) for colour in colours])


def test_features_are_those_of_the_common_class(mllm, images):
    student = Student(mllm, ITEMS, images, LAYERS, batch_size=2)
    with mllm.adapters.use(ADAPTER):
        encoded = encode_items(mllm, ITEMS, instruction=DESCRIBE, layers=LAYERS, images=images)
    wanted = concatenated(named_features(encoded))
    assert student.features().shape == wanted.shape
    assert torch.allclose(student.features(), wanted, atol=1e-5)
    # And they are the adapter's own, not those of the base.
    plain = encode_items(mllm, ITEMS, instruction=DESCRIBE, layers=LAYERS, images=images)
    assert not torch.allclose(wanted, concatenated(named_features(plain)), atol=1e-2)


def test_collected_gradients_are_those_of_autograd(mllm, images):
    """A loss on scaled features of all items: in two batches with caching, and in one without."""
    student = Student(mllm, ITEMS, images, LAYERS, batch_size=2)
    adapter = mllm.adapters.parameters(ADAPTER)
    scaler = FeatureScaler.fit(student.features().numpy(), np.ones(len(ITEMS), bool))
    head = torch.randn(len(scaler.mean), 7)

    def loss_of(table: torch.Tensor) -> torch.Tensor:
        x = table @ head
        return torch.log_softmax(x @ x.T / 100, dim=1).diagonal().mean()

    table = scaler(student.features()).requires_grad_(True)
    loss_of(table).backward()
    with mllm.adapters.use(ADAPTER):
        for parameter in adapter:
            parameter.grad = None
    student.backward(table.grad / scaler.deviation)
    cached = [parameter.grad.clone() for parameter in adapter]

    for parameter in adapter:
        parameter.grad = None
    whole = Student(mllm, ITEMS, images, LAYERS, batch_size=len(ITEMS))
    with mllm.adapters.use(ADAPTER):
        (rows,) = whole.chunks
        read = whole._read(rows)
        order = torch.argsort(torch.tensor(rows))
        loss_of(scaler(read[order])).backward()
    for mine, parameter in zip(cached, adapter, strict=True):
        assert mine.norm() > 1e-4
        assert (mine - parameter.grad).norm() < 1e-4 * mine.norm()


def test_backward_leaves_the_model_as_it_was(mllm, images):
    student = Student(mllm, ITEMS, images, LAYERS)
    before = student.features()
    student.backward(torch.ones_like(before))
    assert torch.equal(student.features(), before)
    assert not mllm.model.training and mllm.adapters.active is None


def test_a_step_against_the_gradient_lowers_the_loss(mllm, images):
    student = Student(mllm, ITEMS, images, LAYERS)
    adapter = mllm.adapters.parameters(ADAPTER)
    target = student.features() + 0.1

    def loss() -> float:
        return float((student.features() - target).square().mean())

    first = loss()
    with mllm.adapters.use(ADAPTER):
        optimizer = torch.optim.SGD(adapter, lr=0.05)
        student.backward(2 * (student.features() - target) / target.numel())
        optimizer.step()
    assert loss() < first
