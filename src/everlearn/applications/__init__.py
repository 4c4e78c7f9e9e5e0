"""Recommendation, customer service, translation: what each reads, its scores, its course over time."""
