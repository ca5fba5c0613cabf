"""Subcommands of `python -m tpad`, one file each, with `add_options(parser)` and `run(args)`.

`commands` lists them; `shared` is what the command lines of tpad, eval and app have in common.
Modules of commands import what is slow inside `run`, so that `--help` is quick.
"""
