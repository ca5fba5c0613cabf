"""Published datasets as the plain tables that `Dataset.load` reads: see `tpad.importers.run`."""
