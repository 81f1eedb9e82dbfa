"""Chains against laws known by quadrature, and against the known means of DW4 and LJ13."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from manifold_gen import seeds
from manifold_gen.energies import RECIPES, Chains, DoubleWell, LennardJones, squared_distances
from manifold_gen.energies.recipes import double_well_rounds
from manifold_gen.errors import UsageError


def sigmas(failure_rate):
    return float(stats.norm.isf(failure_rate / 2))


def pair_cdf(energy, temperature=1.0):
    """Distribution function of the distance of two particles: d^(p−1) exp(−(v(d) + k d²/4) / T), by quadrature.

    The trap of two particles is k/2 · 2 (d/2)².
    """
    d = np.linspace(1e-3, 15, 200_001)
    v = energy.pair(torch.from_numpy(d**2)).numpy() + energy.trap * d**2 / 4
    density = d ** (energy.p - 1) * np.exp(-(v - v.min()) / temperature)
    cumulative = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return lambda t: np.interp(t, d, cumulative / cumulative[-1])


def run(energy, move, rounds, temperature=1.0, count=3000, seed=0):
    generator = seeds.generator(seed)
    x = 2 * torch.randn(count, energy.n, energy.p, generator=generator)
    chains = Chains(energy, x, generator)
    for k in range(rounds):
        move(chains, k, temperature)
    return chains


def one(chains, k, temperature):
    chains.move_one(k % 2, (0.4, 3.0)[k // 2 % 2], temperature)


def everything(chains, k, temperature):
    chains.move_all((0.4, 2.0)[k % 2], temperature)


def sweep(chains, k, temperature):
    chains.sweep((0.4, 2.0)[k % 2], temperature)


SYSTEMS = {"DW2 on a line": DoubleWell(2, 1), "DW2": DoubleWell(2, 2), "LJ2": LennardJones(2, factor=4)}


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("move", [one, everything, sweep])
@pytest.mark.parametrize("name", SYSTEMS)
def test_two_particles_have_the_law_of_their_energy(name, move, temperature, failure_rate):
    energy = SYSTEMS[name]
    chains = run(energy, move, 120, temperature)
    d = squared_distances(chains.positions()).sqrt().squeeze(-1).numpy()
    assert stats.kstest(d, pair_cdf(energy, temperature)).pvalue > failure_rate


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_wrong_temperature_is_noticed(name, failure_rate):
    energy = SYSTEMS[name]
    d = squared_distances(run(energy, one, 120, 2.0).positions()).sqrt().squeeze(-1).numpy()
    assert stats.kstest(d, pair_cdf(energy)).pvalue < failure_rate


class AcceptsEverything(Chains):
    def _accept(self, rise, limit):
        return torch.ones_like(rise, dtype=torch.bool)


def test_a_sampler_that_never_rejects_is_noticed(failure_rate):
    energy, generator = DoubleWell(2, 1), seeds.generator(0)
    chains = AcceptsEverything(energy, torch.randn(4000, 2, 1, generator=generator), generator)
    for k in range(50):
        one(chains, k, 1.0)
    d = squared_distances(chains.positions()).sqrt().squeeze(-1).numpy()
    assert stats.kstest(d, pair_cdf(energy)).pvalue < failure_rate


@pytest.mark.parametrize("energy", [DoubleWell(), LennardJones(5)], ids=lambda energy: energy.name)
def test_pair_table_is_that_of_the_positions(energy):
    """After many moves of both kinds, what is kept is what the positions give: O(n) updates lose nothing."""
    generator = seeds.generator(1)
    x = 1.5 * torch.randn(50, energy.n, energy.p, generator=generator, dtype=torch.float64)
    chains = Chains(energy, x, generator)
    for _ in range(15):
        chains.sweep(0.3)
        chains.move_all(0.1)
    assert 0.05 < chains.acceptance < 0.95
    kept = chains._table.sum((0, 1)) / 2
    torch.testing.assert_close(kept, energy.energy(chains.positions()), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(chains._table, chains._table.transpose(0, 1))


def test_chains_repeat_and_leave_their_start_alone():
    x = torch.randn(20, 4, 2, generator=seeds.generator(2))
    before = x.clone()
    ends = []
    for seed in (0, 0, 1):
        chains = Chains(DoubleWell(), x, seeds.generator(seed))
        double_well_rounds(chains, 20)
        ends.append(chains.positions())
    assert torch.equal(x, before)
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])
    assert float(ends[0].mean(1).abs().max()) < 1e-6


def test_coincident_particles_come_apart():
    chains = Chains(LennardJones(3), torch.zeros(10, 3, 3), seeds.generator(0))
    for _ in range(100):
        chains.sweep(0.5)
    assert bool(torch.isfinite(LennardJones(3).energy(chains.positions())).all())


def test_recipe_draws_states_of_independent_chains():
    recipe = replace(RECIPES["dw4"], settle=30, apart=10, temperatures=(2.0,), anneal=5, together=4)
    x = recipe.draw(6, 2)
    assert x.shape == (6, 2, 4, 2)
    assert x.dtype == torch.float32
    assert float(x.mean(2).abs().max()) < 1e-6
    assert torch.equal(x, recipe.draw(6, 2))
    assert int(((x[:, 0] - x[:, 1]).abs().amax((1, 2)) > 0.01).sum()) >= 4
    with pytest.raises(UsageError, match="at least 1 chain"):
        recipe.draw(0, 1)


def test_dw4_has_the_known_mean_energy_and_distances(failure_rate):
    energy = DoubleWell()
    generator = seeds.generator(3)
    chains = Chains(energy, 2.3 * torch.randn(2000, 4, 2, generator=generator), generator)
    double_well_rounds(chains, 1500)
    x = chains.positions().double()
    e = energy.energy(x)
    z, error = sigmas(failure_rate), float(e.std()) / 2000**0.5
    assert abs(float(e.mean()) - energy.mean_energy.value) < z * (error + energy.mean_energy.error)
    assert float(e.std()) == pytest.approx(1.90, abs=0.25)
    far = (squared_distances(x) > 4.5**2).double().mean(-1)
    assert abs(float(far.mean()) - 0.497) < z * float(far.std()) / 2000**0.5
    assert chains.acceptance == pytest.approx(0.15, abs=0.03)


def lj13(factor, settle, count=400):
    """Mean energy per chain after a start from a normal law."""
    energy, generator = LennardJones(13, factor), seeds.generator(4)
    chains = Chains(energy, torch.randn(count, 13, 3, generator=generator), generator)
    for temperature, rounds in ((3.5, 30), (2.0, 30), (1.3, 60), (1.0, settle)):
        for _ in range(rounds):
            chains.sweep(0.15, temperature)
    return energy, energy.energy(chains.positions().double()), chains


def test_lj13_has_the_known_mean_energy(failure_rate):
    energy, e, chains = lj13(2.0, 400)
    error = float(e.std()) / len(e) ** 0.5
    assert abs(float(e.mean()) - energy.mean_energy.value) < sigmas(failure_rate) * (error + energy.mean_energy.error)
    assert float(e.std()) == pytest.approx(7.0, abs=1.5)
    assert 0.2 < chains.acceptance < 0.8


def test_the_wrong_factor_gives_a_gas():
    _, e, _ = lj13(1.0, 300)
    assert float(e.mean()) == pytest.approx(0.6, abs=2.5)
    assert float(e.mean()) > LennardJones(13).mean_energy.value + 30
