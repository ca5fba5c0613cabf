"""The commands of `python -m tpad`, in the order in which a newcomer meets them."""

from tpad.cli.shared import Command

COMMANDS = (
    Command("world", "tpad.cli.world", "generate the demo shop"),
    Command(
        "import",
        "tpad.cli.import_data",
        "turn a published dataset into an item table and an interaction table",
    ),
    Command("images", "tpad.cli.images", "download item pictures from their addresses"),
    Command(
        "pretrain",
        "tpad.cli.pretrain",
        "train the embedded multimodal LLM from scratch (29 minutes on 2 cores)",
    ),
    Command(
        "assemble",
        "tpad.cli.assemble",
        "make a vision-language model of a language model and a vision tower",
    ),
    Command("train", "tpad.cli.train", "train TPAD and write a bundle", distributed=True),
    Command("settings", "tpad.cli.settings", "list and explain the settings of a training"),
    Command(
        "ablate",
        "tpad.cli.ablate",
        "train the method and its ablations as embedding sets",
        distributed=True,
    ),
    Command(
        "probe",
        "tpad.cli.probe",
        "measure which facts about an item each stage keeps (linear probes on cold items)",
    ),
    Command("recommend", "tpad.cli.recommend", "recommend the next items of a session"),
    Command(
        "encode",
        "tpad.cli.encode",
        "write the vectors of a large item table, in shards",
        distributed=True,
    ),
    Command(
        "export",
        "tpad.cli.export",
        "copy a bundle, upload it to the Hugging Face Hub, or write its item vectors",
    ),
)
