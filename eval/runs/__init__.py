"""Runs: fitting and measuring models into the database, choosing and comparing stored runs."""
