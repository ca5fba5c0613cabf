"""`python -m tpad assemble`: make a vision-language model of a language model and a vision tower."""

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_options(parser: ArgumentParser) -> None:
    """The options of the command."""
    parser.description = (
        "Make a vision-language model of a language model and a vision tower. Only the connector between "
        "them is trained, on the shop's pictures and texts. An interrupted command continues where it "
        "stopped."
    )
    parser.add_argument(
        "--items", type=Path, required=True, help="item table with pictures and texts"
    )
    parser.add_argument(
        "--llm", required=True, help="language model: a folder, a hub id or a GGUF file"
    )
    parser.add_argument(
        "--vision",
        required=True,
        help="vision tower: a folder or hub id of a CLIP or SigLIP model, or of a vision-language model "
        "(Idefics3, SmolVLM, LLaVA) whose tower is taken",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument(
        "--work", type=Path, help="folder of intermediate results (default: OUT.work)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of every random draw (default: %(default)s)"
    )
    parser.add_argument(
        "--heldout",
        type=float,
        default=0.1,
        help="share of the items to measure the result on (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs", type=int, default=1, help="passes over the items (default: %(default)s)"
    )
    parser.add_argument("--steps", type=int, help="number of steps, in place of --epochs")
    parser.add_argument(
        "--batch", type=int, default=32, help="items per step (default: %(default)s)"
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=1e-3,
        help="peak learning rate of the connector (default: %(default)s)",
    )
    parser.add_argument(
        "--max-text",
        type=int,
        default=400,
        help="most characters of a caption (default: %(default)s)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: %(default)s)")
    parser.add_argument(
        "--dtype",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="number format for computation (default: %(default)s)",
    )
    parser.add_argument(
        "--gradient-checkpointing",
        action="store_true",
        help="use less memory in training, but a third more time",
    )


def run(args: Namespace) -> None:
    """Run the command."""
    from dataclasses import fields

    from tpad.assembly.assemble import assemble, results
    from tpad.assembly.config import AssemblyConfig
    from tpad.mllm.settings import ModelSettings
    from tpad.training.base import Base

    record = assemble(
        args.items,
        Base.find(args.llm),
        Base.find(args.vision),
        args.out,
        AssemblyConfig(
            **{field.name: getattr(args, field.name) for field in fields(AssemblyConfig)}
        ),
        ModelSettings(dtype=args.dtype, gradient_checkpointing=args.gradient_checkpointing),
        work=args.work,
        device=args.device,
    )
    print(results(record))
    print(f"wrote the model to {args.out}; give it to `python -m tpad train` as --mllm {args.out}")
