"""The commands of `python -m eval`."""

from tpad.cli.shared import Command

COMMANDS = (
    Command("run", "eval.cli.run", "fit models with several seeds and store their ranks"),
    Command("compare", "eval.cli.compare", "show difference, interval and p-value of two models"),
    Command("report", "eval.cli.report", "print or write the table of stored runs"),
    Command("card", "eval.cli.card", "write the figures to the model card of a bundle"),
    Command("splits", "eval.cli.splits", "make and store a split, or list the stored ones"),
    Command(
        "export",
        "eval.cli.export",
        "write the cases, or stored ranks, figures or frontiers, as CSV",
    ),
    Command("import", "eval.cli.import_lists", "evaluate the recommendations of an outside model"),
)
DEFAULT = "run"
"""The command of options that are given without one."""
