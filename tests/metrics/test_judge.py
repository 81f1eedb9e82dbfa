"""The judge of single clouds against molecules whose verdict is known."""

import made_molecules as made
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.data.molecules import MoleculeFormat
from manifold_gen.errors import UsageError
from manifold_gen.metrics.molecules import strict_judge

FORMAT = MoleculeFormat((1, 6, 8))
# Of three atoms each: two molecules that pass, and one in pieces.
KINDS = {
    "water": made.water(),
    "carbon dioxide": (torch.tensor([[0.0, 0, 0], [1.2, 0, 0], [-1.2, 0, 0]]), torch.tensor([6, 8, 8])),
    "in pieces": (3 * made.water()[0], made.water()[1]),
}


def cloud(name):
    x, z = KINDS[name]
    return FORMAT.encode(Molecules.join([(x.to(torch.float32), z)])).x


def turned(x):
    """Another way to hold and to number the same molecule."""
    frame = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    return torch.cat([x[:, :3] @ frame, x[:, 3:]], -1).flip(0)


def test_a_judge_without_memory_passes_what_is_a_strict_success():
    asked = torch.stack([cloud("water"), cloud("in pieces"), cloud("carbon dioxide"), cloud("water")])
    judge = strict_judge(FORMAT)
    for _ in range(2):
        assert judge(asked).tolist() == [True, False, True, True]


def test_a_judge_that_remembers_finds_the_same_molecule_wrong_however_it_lies():
    judge = strict_judge(FORMAT, memory=10)
    assert judge(torch.stack([cloud("water"), turned(cloud("water"))])).tolist() == [True, False]
    assert judge(torch.stack([turned(cloud("water")), cloud("carbon dioxide")])).tolist() == [False, True]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=12), st.integers(0, 4), st.integers(1, 12))
def test_a_molecule_is_wrong_as_long_as_it_is_among_the_last_that_passed_the_chemistry(names, memory, batch):
    """However the clouds are divided into batches; failures are not remembered."""
    expected, seen = [], []
    for name in names:
        passes = name != "in pieces"
        expected.append(passes and (memory == 0 or name not in seen[-memory:]))
        if passes:
            seen.append(name)
    judge, found = strict_judge(FORMAT, memory), []
    for start in range(0, len(names), batch):
        found += judge(torch.stack([cloud(name) for name in names[start : start + batch]])).tolist()
    assert found == expected


def test_a_negative_memory_is_refused():
    with pytest.raises(UsageError, match="memory is -1"):
        strict_judge(FORMAT, memory=-1)
