"""Run folders and saved models: configuration and tensors, never pickled code."""

from __future__ import annotations

from manifold_gen.checkpoint.folder import RunFolder, safe_run_path
from manifold_gen.checkpoint.model import load, read_description, save_model

__all__ = ["RunFolder", "load", "read_description", "safe_run_path", "save_model"]
