"""Options and fixtures of the whole suite: device, precision, seeds. Tolerances live in ``manifold_gen.testing``."""

from __future__ import annotations

import pytest
import torch

from manifold_gen.testing import FAILURE_RATE, TOLERANCES, Tolerance

DTYPES = {"float32": torch.float32, "float64": torch.float64}
SEED = 20240


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="device that tensor tests run on (default: cpu)")
    parser.addoption("--dtype", choices=sorted(DTYPES), help="run tests of a dtype in this one only (default: both)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dtype" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--dtype")
        names = [chosen] if chosen else sorted(DTYPES)
        metafunc.parametrize("dtype", [DTYPES[name] for name in names], ids=names)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def tolerance(dtype: torch.dtype) -> Tolerance:
    """The row of the one tolerance table for the dtype under test."""
    return TOLERANCES[dtype]


@pytest.fixture
def failure_rate() -> float:
    """Probability with which one statistical check may fail although nothing is wrong."""
    return FAILURE_RATE


@pytest.fixture
def generator(device: torch.device) -> torch.Generator:
    """A fresh generator with the suite's seed."""
    return torch.Generator(device=device).manual_seed(SEED)
