"""A model's home: its immutable versions, the gate between them, and what differs."""
