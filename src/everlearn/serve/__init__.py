"""A home's versions answer over HTTP: OpenAI's routes, feedback, documents. Nothing here learns, or imports what does."""
