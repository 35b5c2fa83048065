"""The policy: tokens in, muscle actions and values out. One transformer for all bodies, and the experts' small
networks."""
