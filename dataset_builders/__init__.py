"""Builders of UniPT's datasets: LUPerson-T (divide, conquer, combine), the benchmarks, synthetic pedestrians."""
