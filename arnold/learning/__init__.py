"""Learning: rollouts, advantages, losses, and the one update that serves every regime."""
