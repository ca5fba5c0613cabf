"""Evaluates models on test sessions and stores the results."""

from tpad.environment import forget_blank_variables

forget_blank_variables()  # before libraries that read them are imported
