"""Language models: loading, sampling, scoring, enumerating, and the self-check of sampler and scorer."""
