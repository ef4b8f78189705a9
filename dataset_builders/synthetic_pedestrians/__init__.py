"""Synthetic pedestrians: people with known attributes, rendered by sphere-tracing signed distance fields."""
