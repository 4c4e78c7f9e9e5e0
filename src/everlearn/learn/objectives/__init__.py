"""One file an objective: imitation, preference, and what is learned from the model's own answers."""
