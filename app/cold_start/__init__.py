"""The Cold start tab: test cases checked by hand."""
