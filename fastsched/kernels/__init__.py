"""The compiled part: random numbers, the loop of one tile, and the machines it runs on."""
