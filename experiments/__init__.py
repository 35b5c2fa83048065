"""What ships to be run: recipes and benchmarks."""
