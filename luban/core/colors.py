"""Colours of figures: what is wrong, say, is of one red wherever it is drawn."""

GREY, RED, BLUE = "#9aa5b1", "#b3261e", "#1f5fa8"
