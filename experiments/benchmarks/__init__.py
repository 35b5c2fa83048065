"""Benchmarks: the speed of the physics, the policy and the learning, each against an outside yardstick."""
