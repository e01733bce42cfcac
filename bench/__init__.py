"""Measurements, reported as ratios within one run. No test depends on them."""
