"""The Cold-start cases tab: rate test cases."""
