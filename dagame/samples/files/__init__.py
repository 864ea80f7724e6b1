"""Bytes of files -> frames of samples, the faulty line named."""
