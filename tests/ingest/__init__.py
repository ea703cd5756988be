"""Tests of `detector.ingest`."""
