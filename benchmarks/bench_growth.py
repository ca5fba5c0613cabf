"""How time and memory of every stage grow with the shop: items and sessions ×1, ×10, ×100.

    python benchmarks/bench_growth.py                  # twenty minutes of one core
    python benchmarks/bench_growth.py --factors 1 4    # two minutes

A demo shop of each size, with small pictures, is trained on, opened, asked and judged in a process of
its own, with the embedded model, settings that are the same at all sizes, and one epoch of whatever has
epochs. A stage's row goes to stderr as soon as it is done, and `--keep FOLDER` keeps what each size came
to: after a stop, the same command goes on with the next size. Seconds are those of the processor unless
`--clock wall` is given, so that a busy machine tells the same.

The exponent is the slope between the last two sizes, log(b / a) / log(factor): at the first, fixed costs
hide growth. Items and sessions grow together, so a stage that works on each item, or on each click, has
1, and one that compares every click with every item has 2, as ranking all items has to.

Memory is what a stage needs above what the process held when it began: Linux can reset the peak of a
process (`/proc/self/clear_refs`). Elsewhere it is by how much the stage raised the peak of the process
so far, and the last line says so. It includes the holes that freed memory leaves in the heap, so that a
stage after a hungry one shows more than it holds; with MALLOC_MMAP_THRESHOLD_=1048576 in the environment
glibc gives them back, which takes time. What is below 1 MiB or a thousandth of a second gets no exponent.
"""

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clocks import CLOCKS
from own_process import in_process
from rows import Row
from stage_meter import Meter, can_reset

from tpad.errors import TpadError
from tpad.io.files import replacing

PICTURE_SIZE = 96  # pixels a side, as the embedded model reads them
ASKED = 20  # sessions recommended for, one at a time
JUDGED = 400  # prefixes that the teacher judges, about as many as there are at ×1
TRAINING, REST = "the training in all", "of it in no stage"
STAGES = {
    "read the tables": "rows",
    "check the pictures": "items",
    "pictures": "items",
    "descriptions": "items",
    "knowledge": "items",
    "transfer": "clicks",
    "imagined": "items",
    "teacher": f"{JUDGED} prefixes, items",
    "describing": "items",
    "student": "items",
    "distillation": "items × clicks",
    "embeddings": "items",
    "session recommender": "items × clicks",
    "write the bundle": "items, clicks",
    REST: "",
    TRAINING: "",
    "open the bundle": "items, clicks",
    "index and first recommendation": "items",
    "recommend, one session": "items",
    "judge: tune the recommender": "items × clicks",
    "judge: fit it": "items × clicks",
    "judge: TF-IDF for diversity": "items",
    "judge: rank all items": "items × cases",
    "judge: intervals": "sessions",
    "store ranks and figures": "cases",
    "read them back": "cases",
}
"""Name of a row -> what it works on."""


@dataclass(frozen=True)
class Size:
    """Of a shop."""

    items: int
    sessions: int
    seed: int


def make_shop(size: Size, folder: Path) -> None:
    """A demo shop with small pictures."""
    from tpad.world import build

    config = build.WorldConfig(
        seed=size.seed,
        items=size.items,
        train_sessions=size.sessions,
        validation_sessions=max(1, size.sessions // 10),
        test_sessions=max(1, size.sessions // 5),
        arrivals=0,
    )
    with patch.object(build, "PICTURE_SIZE", PICTURE_SIZE):
        build.write_world(build.World(config), folder, workers=1)


def settings() -> Any:
    """One epoch of what has epochs, one imagined item for each, and no other embedding set."""
    from tpad.training.config import preset

    config = preset("demo")
    return replace(
        config,
        transfer=replace(config.transfer, epochs=1),
        imagined=replace(config.imagined, per_item=1),
        teacher=replace(config.teacher, sessions=JUDGED, candidates=16),
        describing=replace(config.describing, epochs=1),
        distillation=replace(config.distillation, epochs=1),
        recommender=replace(config.recommender, epochs=1),
        baselines=(),
    )


def run_size(
    work: Path, threads: int, clock: str
) -> tuple[dict[str, int], dict[str, tuple[float, float]]]:
    """All stages on one shop: how large it is, and seconds and MiB by stage."""
    import torch

    torch.set_num_threads(threads)
    from tpad.data.dataset import Dataset, check_images

    meter = Meter(CLOCKS[clock])
    with meter.stage("read the tables"):
        dataset = Dataset.from_world(work / "shop")
    with meter.stage("check the pictures"):
        dataset = check_images(dataset, workers=1)
    train_and_write(meter, dataset, work)
    recommend(meter, work / "bundle")
    cases = judge(meter, dataset, work)
    counts = {
        "items": len(dataset),
        "training sessions": len(dataset.train),
        "their prefixes": int((dataset.train.lengths - 1).sum()),
        "test cases": cases,
    }
    return counts, meter.found


def train_and_write(meter: Meter, dataset: Any, work: Path) -> None:
    """The training, its stages measured one by one."""
    from tpad.cli.train import default_base
    from tpad.training import pipeline
    from tpad.training.base import Base
    from tpad.training.stage import StageSpec
    from tpad.training.stages import recommender

    def measured(spec: StageSpec) -> StageSpec:
        name = (
            "session recommender" if spec.name.startswith(("tuning", "recommender")) else spec.name
        )
        return replace(spec, run=meter.wrap(name, spec.run))

    stages = tuple(measured(spec) for spec in pipeline.STAGES)
    of_set = recommender.stages_of
    names = [*(spec.name for spec in stages), "session recommender", "write the bundle"]
    base = Base.find(default_base())
    with ExitStack() as stack:
        stack.enter_context(patch.object(pipeline, "STAGES", stages))
        stack.enter_context(
            patch.object(recommender, "stages_of", lambda *some: [*map(measured, of_set(*some))])
        )
        write = meter.wrap("write the bundle", pipeline.write_bundle)
        stack.enter_context(patch.object(pipeline, "write_bundle", write))
        with meter.stage(TRAINING):
            pipeline.train(dataset, base, settings(), work / "bundle", device="cpu", quiet=True)
    told = sum(meter.found[name][0] for name in names if name in meter.found)
    meter.found[REST] = meter.found[TRAINING][0] - told, 0.0


def recommend(meter: Meter, bundle: Path) -> None:
    """Opens the bundle and asks it."""
    import tpad

    with meter.stage("open the bundle"):
        shop = tpad.load(bundle)
        ids = shop.items["item_id"].tolist()
    with meter.stage("index and first recommendation"):
        shop.recommend(ids[:3])
    seconds = []
    with meter.stage("recommend, one session"):
        for start in range(ASKED):
            begin = meter.clock()
            shop.recommend(ids[start : start + 3])
            seconds.append(meter.clock() - begin)
    used = meter.found["recommend, one session"][1]
    meter.found["recommend, one session"] = statistics.median(seconds), used


def judge(meter: Meter, dataset: Any, work: Path) -> int:
    """What `python -m eval run` does with one embedding set; returns the number of cases."""
    from eval.database.store import Store
    from eval.metrics.calibration import validation_cases
    from eval.metrics.figures import figures
    from eval.models.features import text_features
    from eval.models.registry import embedding_entry
    from eval.protocol import TestCases
    from eval.runs.measuring import measure
    from tpad import Bundle

    features = Bundle.load(work / "bundle", verify="fast").embeddings["tpad"]
    entry = embedding_entry("tpad", "tpad", lambda seed: features, settings().recommender)
    cases, validation = TestCases.of(dataset), validation_cases(dataset)
    with meter.stage("judge: tune the recommender"):
        tuned = entry.tune(dataset, 0, None)
    with meter.stage("judge: fit it"):
        model = entry.make(0, tuned, None).fit(dataset)
    with meter.stage("judge: TF-IDF for diversity"):
        texts = text_features(dataset)
    with meter.stage("judge: rank all items"):
        found = measure(model, dataset, cases, validation, texts)
    with meter.stage("judge: intervals"):
        known = list(figures(found.ranks, cases))
    store = Store(work / "results.db")
    with (
        meter.stage("store ranks and figures"),
        patch("eval.database.store.figures", lambda *_: known),
        store.run(dataset, "shop", cases, ("tpad", "tpad"), 0, {}, "key", ("benchmark", "")) as run,
    ):
        run.finish(found.ranks, 0.0, 0.0, None, found.figures)
    with meter.stage("read them back"):
        ranks, table = store.rank_matrix([run.id])[0], store.figures([run.id])
    store.close()
    if (ranks.expected != found.ranks.expected).any() or not len(table):
        raise SystemExit("The database does not give back what was written.")
    return len(cases)


def exponent(values: Sequence[float], factors: Sequence[float], least: float) -> str:
    """Slope between the last two sizes; nothing where there is one, or too little to tell."""
    if len(values) < 2 or min(values[-2:]) < least:
        return ""
    return f"{math.log(values[-1] / values[-2]) / math.log(factors[-1] / factors[-2]):.2f}"


def seconds_text(seconds: float) -> str:
    """With what digits tell something."""
    return f"{seconds:.3f}" if seconds < 1 else f"{seconds:,.1f}"


def print_table(
    factors: Sequence[float],
    sizes: Sequence[dict[str, int]],
    found: Sequence[dict[str, tuple[float, float]]],
) -> None:
    """Seconds and MiB by stage and size."""
    times = [f"×{factor:g}" for factor in factors]
    heads = ["stage", "works on", *(f"{t} s" for t in times), "exponent"]
    heads += [*(f"{t} MiB" for t in times), "exponent"]
    print(f"| {' | '.join(heads)} |")
    print(f"| --- | --- |{' ---: |' * (len(heads) - 2)}")
    for name in sizes[0]:
        print(
            f"| *{name}* | | {' | '.join(f'{size[name]:,}' for size in sizes)} |"
            + " |" * (len(factors) + 2)
        )
    for name, what in STAGES.items():
        seconds, used = ([one[name][part] for one in found] for part in (0, 1))
        cells = [name, what, *map(seconds_text, seconds), exponent(seconds, factors, 0.001)]
        cells += [*("" if name == REST else f"{mib:,.1f}" for mib in used)]
        cells.append("" if name == REST else exponent(used, factors, 1.0))
        print(f"| {' | '.join(cells)} |")
    if not can_reset():
        print(
            "A peak cannot be reset here: MiB tell by how much a stage raised that of the process."
        )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    result.add_argument("--items", type=int, default=60, help="at ×1, at least 48 (%(default)s)")
    result.add_argument(
        "--sessions", type=int, default=150, help="to train on, at ×1 (%(default)s)"
    )
    result.add_argument(
        "--factors", type=float, nargs="+", default=[1, 10, 100], help="ascending (%(default)s)"
    )
    result.add_argument(
        "--clock",
        choices=CLOCKS,
        default="cpu",
        help="cpu counts a process's own time, for a machine that others use (%(default)s)",
    )
    result.add_argument("--threads", type=int, default=1, help="of torch and BLAS (%(default)s)")
    result.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep what each size came to, and take from there what an earlier run of the same code "
        "kept",
    )
    result.add_argument("--seed", type=int, default=7, help="of the shops (%(default)s)")
    return result


def measured(size: Size, threads: int, clock: str, keep: Path | None) -> Any:
    """What `run_size` gives; it is taken from the folder `keep` where an earlier run left it."""
    name = f"{size.items}-{size.sessions}-seed-{size.seed}-{threads}-{clock}.json"
    if keep is not None and (keep / name).is_file():
        return json.loads((keep / name).read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        in_process(make_shop, size, work / "shop")
        found = in_process(run_size, work, threads, clock)
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        with replacing(keep / name) as part:
            part.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return found


def each_size(options: argparse.Namespace) -> Iterator[tuple[float, Any]]:
    """The factors, and what `run_size` gives for each."""
    # BLAS reads this when numpy is imported, which happens in the processes below.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    os.environ["TQDM_DISABLE"] = "1"
    for factor in options.factors:
        counts = (round(factor * options.items), round(factor * options.sessions))
        print(f"×{factor:g}", file=sys.stderr, flush=True)
        size = Size(*counts, options.seed)
        yield factor, measured(size, options.threads, options.clock, options.keep)


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """What the largest size takes, and the exponents."""
    factors, each = zip(*each_size(options), strict=True)
    for name in STAGES:
        if name == REST:
            continue
        seconds, used = ([found[name][part] for _, found in each] for part in (0, 1))
        told = exponent(seconds, factors, 0.001), exponent(used, factors, 1.0)
        yield Row(
            f"growth: {name}, at ×{factors[-1]:g}, and exponents of both",
            f"{seconds_text(seconds[-1])} s, {used[-1]:,.0f} MiB",
            ", ".join(text or "–" for text in told),
        )


def main() -> int:
    """Runs the benchmark."""
    options = parser().parse_args()
    if options.factors != sorted(set(options.factors)):
        parser().error("--factors must ascend, such as 1 10 100")
    factors, sizes, found = [], [], []
    try:
        for factor, (size, of_size) in each_size(options):
            factors.append(factor)
            sizes.append(size)
            found.append(of_size)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    except TpadError as error:
        print(error, file=sys.stderr)
    if found:
        print_table(factors, sizes, found)
    return 0 if len(found) == len(options.factors) else 1


if __name__ == "__main__":
    sys.exit(main())
