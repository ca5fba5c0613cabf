"""The Cold-start cases tab: check test cases by hand."""
