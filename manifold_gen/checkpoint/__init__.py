"""Run folders and saved models: configuration and tensors, never pickled code."""

from __future__ import annotations

from manifold_gen.checkpoint.folder import RunFolder, safe_run_path
from manifold_gen.checkpoint.model import load, read_description, save_model
from manifold_gen.checkpoint.shipped import run_path

__all__ = ["RunFolder", "load", "read_description", "run_path", "safe_run_path", "save_model"]
