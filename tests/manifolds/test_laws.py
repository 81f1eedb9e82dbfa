"""Every manifold obeys every law, in both precisions."""

from __future__ import annotations

import pytest
import torch

from manifold_gen.errors import UsageError
from manifold_gen.manifolds import Sphere, from_spec
from manifold_gen.testing import check_manifold, law_names
from tests.manifolds.cases import CASES


@pytest.mark.parametrize(("spec", "slack"), CASES, ids=[spec for spec, _ in CASES])
def test_manifold_obeys_the_laws(spec: str, slack: float, dtype: torch.dtype, device: torch.device) -> None:
    check_manifold(from_spec(spec), dtype=dtype, device=device, slack=slack)


def test_an_unknown_law_is_named() -> None:
    with pytest.raises(UsageError, match="no law named 'gravity'"):
        check_manifold(Sphere(2), laws=["gravity"])


def test_laws_are_listed_once() -> None:
    names = law_names()
    assert len(set(names)) == len(names) > 20
