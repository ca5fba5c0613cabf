"""Colours that the app's plots share, readable on a light and on a dark page."""

# Okabe and Ito's palette, safe for colour-blind readers; black is left out because of dark mode.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#9A8F00")
TRUTH = "#D55E00"
GREY = "rgba(128,128,128,0.22)"
