"""Subcommands of `python -m tpad`: each module has `add_…_parser(subparsers)` and `run_…(args)`.

Parsers are built at every start, so these modules import what is slow only when they run.
"""
