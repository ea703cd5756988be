"""Settings that read what `encode` writes."""

from functools import cache

from detector.config import ROOT, Settings, load


@cache
def learning_settings() -> Settings:
    """The demo's configuration."""
    return load(ROOT / "configs" / "demo.yaml", {})
