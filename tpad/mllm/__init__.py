"""Language models, most of which see pictures: load, prompt, encode, score, generate.

```python
from PIL import Image
from tpad.mllm import MLLM, ItemInput, encode_items, generate

mllm = MLLM.load("HuggingFaceTB/SmolVLM-256M-Instruct")
items = [ItemInput(Image.open("lamp.jpg"), "A red lamp")]
features = encode_items(mllm, items, layers=[mllm.num_layers])  # features.last[layer]: (1, d)
texts = generate(mllm, items, instruction="Describe the product.")
```
"""

import logging

import lazy_loader

# On import by PEFT, bitsandbytes logs that a package is missing which is not used here.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
