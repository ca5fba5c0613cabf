"""The method with one part left out or changed."""
