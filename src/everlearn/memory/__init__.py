"""Memory beside the weights: what is known, and from when until when, is looked up when a question is asked."""
