"""The package list: every package below ``manifold_gen``, and ``datasets/`` as ``manifold_gen._data``."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["manifold_gen", "manifold_gen.*"]), "manifold_gen._data"])
