"""The network that reads properties: exact where they are sums over atoms, invariant, better than the atoms alone."""

import made_molecules as made
import pytest
import torch

from manifold_gen import TrainingConfig, seeds
from manifold_gen.chemistry.molecules import Molecules
from manifold_gen.data.qm9 import qm9_molecules
from manifold_gen.errors import DataError, UsageError
from manifold_gen.metrics.molecules.properties import (
    PropertyPredictor,
    fit_predictor,
    mean_absolute_errors,
    medians_by_size,
    values_of,
)

SMALL = {"width": 16, "pair_width": 8, "depth": 2, "distance_features": 8}


def predictor(names, **changes):
    torch.manual_seed(0)
    return PropertyPredictor(names, **{**SMALL, **changes})


def with_property(molecules, values):
    return Molecules(molecules.positions, molecules.numbers, molecules.sizes, {"y": values})


@pytest.fixture(scope="module")
def stretched():
    """Water, methane and benzene in many sizes of themselves; the property is how far apart their atoms are."""
    scales = torch.linspace(0.8, 1.2, 60, dtype=torch.float64)[torch.randperm(60, generator=seeds.generator(1))]
    kinds = [made.water(), made.methane(), made.kekule_benzene()] * 20
    molecules = Molecules.join([((x * s).float(), z) for (x, z), s in zip(kinds, scales, strict=True)])
    spread = [torch.pdist(x).mean() for x, _ in molecules]
    return with_property(molecules, torch.stack(spread))


def test_a_sum_over_atoms_is_exact_before_any_training():
    molecules = made.joined(made.water(), made.methane(), made.kekule_benzene(), made.hydroxyl())
    atoms = {1: 0.5, 6: 11.0, 8: -3.0}
    values = torch.tensor([2.0 + sum(atoms[number] for number in z.tolist()) for _, z in molecules])
    network = predictor(["y"])
    network.prepare(with_property(molecules, values))
    with torch.no_grad():
        network.network.head[-1].weight.zero_()
        network.network.head[-1].bias.zero_()
    assert torch.allclose(network.predict(molecules)[:, 0], values.double(), atol=1e-4)


def test_training_finds_what_only_the_places_tell(stretched):
    train, test = stretched[:45], stretched[45:]
    network, seen = predictor(["y"]), []
    config = TrainingConfig(steps=300, batch_size=15, ema_decay=0.9, eval_every=100)
    fit_predictor(network, train, config, seen.append)
    truth = values_of(test, ["y"])
    error = mean_absolute_errors(network.predict(test), truth, ["y"])["y"].value
    by_size = mean_absolute_errors(medians_by_size(train, ["y"], test.sizes), truth, ["y"])["y"].value
    assert seen == [100, 200, 300]
    assert error < 0.5 * by_size
    again = predictor(["y"])
    fit_predictor(again, train, config)
    assert torch.equal(again.predict(test), network.predict(test))


def test_what_it_predicts_of_true_molecules_is_invariant_and_in_their_order():
    molecules = qm9_molecules(max_heavy=5)["train"][:20]
    network = predictor(["alpha", "mu"])
    fit_predictor(network, molecules, TrainingConfig(steps=3, batch_size=8))
    network = network.double()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=seeds.generator(2), dtype=torch.float64))[0]
    order = torch.randperm(20, generator=seeds.generator(3))
    found = network.predict(molecules)
    backwards = [(x.double().flip(0) @ turn + 2.0, z.flip(0)) for x, z in molecules]
    assert torch.allclose(network.predict(Molecules.join(backwards)[order]), found[order], atol=1e-9)
    assert float(found.std(0).min()) > 0.01


def test_medians_are_those_of_the_size_and_the_best_constant():
    train = with_property(made.joined(*[made.water()] * 3, *[made.methane()] * 3), torch.tensor([1.0, 2, 9, 4, 5, 6]))
    assert medians_by_size(train, ["y"], torch.tensor([3, 5, 3, 7])).flatten().tolist() == [2.0, 5.0, 2.0, 4.0]
    truth = values_of(train, ["y"])
    least = mean_absolute_errors(medians_by_size(train, ["y"], train.sizes), truth, ["y"])["y"].value
    assert least == pytest.approx((1 + 0 + 7 + 1 + 0 + 1) / 6)
    for shift in (-0.3, 0.3):
        guess = medians_by_size(train, ["y"], train.sizes) + shift
        assert mean_absolute_errors(guess, truth, ["y"])["y"].value >= least


def test_places_that_are_not_finite_stay_visible():
    x, z = made.water()
    found = predictor(["y"]).double().predict(made.joined((x * torch.nan, z), made.methane()))
    assert found.isnan().flatten().tolist() == [True, False]


def test_what_cannot_be_used_is_refused():
    network, config = predictor(["y"]), TrainingConfig(steps=1)
    with pytest.raises(UsageError, match="no molecules"):
        fit_predictor(network, made.joined(), config)
    with pytest.raises(DataError, match="no property 'y'"):
        fit_predictor(network, made.joined(made.water()), config)
    chloride = (torch.tensor([[0.0, 0, 0], [0, 0, 1.27]]), torch.tensor([17, 1]))
    with pytest.raises(DataError, match="hold Cl"):
        network.predict(made.joined(chloride))
