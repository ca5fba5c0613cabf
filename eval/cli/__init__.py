"""Commands of `python -m eval`, one file each, with `add_options(parser)` and `run(options)`."""
