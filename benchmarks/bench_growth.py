"""How time and memory of each stage grow with the shop: items and sessions ×1, ×10, ×100.

    python benchmarks/bench_growth.py                  # twenty minutes of one core
    python benchmarks/bench_growth.py --factors 1 4    # two minutes

For each size, a demo shop with small pictures is trained, opened, asked for recommendations and evaluated, in
a process of its own. All sizes use the embedded model, the same settings, and one epoch per stage. A stage's
row goes to stderr when it is done. `--keep FOLDER` keeps the figures of each size: after an interruption, the
same command goes on with the next size. Seconds are those of the processor unless `--clock wall` is given, so
that other programs on the machine do not change them.

The exponent is the slope between the last two sizes, log(b / a) / log(factor); at the first size, fixed costs
hide growth. Items and sessions grow together, so a stage that works on each item, or on each click, has the
exponent 1, and one that compares each click with all items has 2.

Memory is what a stage needs beyond what the process held when it began. Linux can reset the peak of a process
(`/proc/self/clear_refs`). Elsewhere it is by how much the stage raised the peak of the process, and the last
line says so. It includes freed memory that the heap has not returned, so a stage after one that needed much
memory shows more than it holds; with MALLOC_MMAP_THRESHOLD_=1048576 in the environment, glibc returns it,
which takes time. Values below 1 MiB or a thousandth of a second have no exponent.

`bench_recommender_growth.py` measures the parts of the recommender alone, on larger shops.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clocks import CLOCKS
from growth_table import add_growth_options, exponent, print_table, seconds_text
from own_process import in_process
from rows import Row
from stage_meter import Meter, can_reset

from tpad.errors import TpadError
from tpad.io.files import replacing

PICTURE_SIZE = 96  # pixels a side, as the embedded model reads them
ASKED = 20  # sessions, one at a time
SCORED = 400  # prefixes that the teacher scores, about as many as there are at ×1
TRAINING, REST = "the whole training", "outside of the stages"
STAGES = {
    "read the tables": "rows",
    "check the pictures": "items",
    "pictures": "items",
    "descriptions": "items",
    "knowledge": "items",
    "transfer": "clicks",
    "imagined": "items",
    "teacher": f"{SCORED} prefixes, items",
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
    "evaluate: tune the recommender": "items × clicks",
    "evaluate: fit it": "items × clicks",
    "evaluate: TF-IDF for diversity": "items",
    "evaluate: rank all items": "items × cases",
    "evaluate: intervals": "sessions",
    "store ranks and figures": "cases",
    "read them back": "cases",
}
"""Name of each row -> what it works on."""


@dataclass(frozen=True)
class Size:
    """Size of a shop."""

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
    """Settings with one epoch per stage, one imagined item per item, and no other embedding set."""
    from tpad.training.config import preset

    config = preset("demo")
    return replace(
        config,
        transfer=replace(config.transfer, epochs=1),
        imagined=replace(config.imagined, per_item=1),
        teacher=replace(config.teacher, sessions=SCORED, candidates=16),
        describing=replace(config.describing, epochs=1),
        distillation=replace(config.distillation, epochs=1),
        recommender=config.recommender.with_epochs(1),
        baselines=(),
    )


def run_size(
    work: Path, threads: int, clock: str
) -> tuple[dict[str, int], dict[str, tuple[float, float]]]:
    """Run all stages on one shop; returns its counts, and seconds and MiB by stage."""
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
    cases = evaluate_model(meter, dataset, work)
    counts = {
        "items": len(dataset),
        "training sessions": len(dataset.train),
        "their prefixes": int((dataset.train.lengths - 1).sum()),
        "test cases": cases,
    }
    return counts, meter.found


def train_and_write(meter: Meter, dataset: Any, work: Path) -> None:
    """Train and write the bundle, and measure each stage."""
    from tpad.cli.job import default_base
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
    in_stages = sum(meter.found[name][0] for name in names if name in meter.found)
    meter.found[REST] = meter.found[TRAINING][0] - in_stages, 0.0


def recommend(meter: Meter, bundle: Path) -> None:
    """Open the bundle and recommend."""
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


def evaluate_model(meter: Meter, dataset: Any, work: Path) -> int:
    """Evaluate one embedding set as `python -m eval run` does; returns the number of cases."""
    from eval.database.store import Store
    from eval.metrics.calibration import validation_cases
    from eval.metrics.slice_metrics import slice_metrics
    from eval.models.entries import embedding_entry
    from eval.models.features import text_features
    from eval.protocol import TestCases
    from eval.runs.evaluation import evaluate
    from tpad import Bundle

    features = Bundle.load(work / "bundle", verify="fast").embeddings["tpad"]
    entry = embedding_entry("tpad", "tpad", lambda seed: features, settings().recommender)
    cases, validation = TestCases.of(dataset), validation_cases(dataset)
    with meter.stage("evaluate: tune the recommender"):
        tuned = entry.tune(dataset, 0, None)
    with meter.stage("evaluate: fit it"):
        model = entry.make(0, tuned, None).fit(dataset)
    with meter.stage("evaluate: TF-IDF for diversity"):
        texts = text_features(dataset)
    with meter.stage("evaluate: rank all items"):
        found = evaluate(model, dataset, cases, validation, texts)
    with meter.stage("evaluate: intervals"):
        known = list(slice_metrics(found.ranks, cases))
    store = Store(work / "results.db")
    with (
        meter.stage("store ranks and figures"),
        patch("eval.database.open_run.slice_metrics", lambda *_: known),
        store.run(dataset, "shop", cases, ("tpad", "tpad"), 0, {}, "key", ("benchmark", "")) as run,
    ):
        run.finish(found.ranks, 0.0, 0.0, None, found.metrics)
    with meter.stage("read them back"):
        ranks, table = store.rank_matrix([run.id])[0], store.figures([run.id])
    store.close()
    if (ranks.expected != found.ranks.expected).any() or not len(table):
        raise SystemExit("The database returned other ranks than were stored.")
    return len(cases)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    result.add_argument("--items", type=int, default=60, help="at ×1, at least 48 (%(default)s)")
    result.add_argument(
        "--sessions", type=int, default=150, help="to train on, at ×1 (%(default)s)"
    )
    add_growth_options(result, [1, 10, 100], "shops")
    result.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="keep the figures of each size, and reuse those of an earlier run of the same code",
    )
    return result


def measured(size: Size, threads: int, clock: str, keep: Path | None) -> Any:
    """The result of `run_size`, from the folder `keep` if an earlier run left it there."""
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
    """Each factor, and the result of `run_size`."""
    # BLAS reads this when numpy is imported, which happens in the processes below.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = str(options.threads)
    os.environ["TQDM_DISABLE"] = "1"
    for factor in options.factors:
        counts = (round(factor * options.items), round(factor * options.sessions))
        print(f"×{factor:g}", file=sys.stderr, flush=True)
        size = Size(*counts, options.seed)
        yield factor, measured(size, options.threads, options.clock, options.keep)


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Figures of the largest size, and the exponents."""
    factors, each = zip(*each_size(options), strict=True)
    for name in STAGES:
        if name == REST:
            continue
        seconds, used = ([found[name][part] for _, found in each] for part in (0, 1))
        exponents = exponent(seconds, factors, 0.001), exponent(used, factors, 1.0)
        yield Row(
            f"growth: {name}, at ×{factors[-1]:g}, and exponents of both",
            f"{seconds_text(seconds[-1])} s, {used[-1]:,.0f} MiB",
            ", ".join(text or "–" for text in exponents),
        )


def main() -> int:
    """Run the benchmark."""
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
        print_table(factors, sizes, found, STAGES, only_seconds=(REST,))
        if not can_reset():
            print(
                "The peak cannot be reset here: MiB are by how much a stage raised that of the process."
            )
    return 0 if len(found) == len(options.factors) else 1


if __name__ == "__main__":
    sys.exit(main())
