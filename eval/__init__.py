"""The judge: measures models on test sessions, and keeps what was measured."""

from tpad.environment import forget_blank_variables

forget_blank_variables()  # before any library that reads them is imported
