"""Every distribution obeys the public laws, and broken ones do not."""

import copy
import math
import pickle

import pytest
import torch
from distribution_cases import ALL, JUMPS

from manifold_gen.distributions import Distribution, Uniform, VonMisesFisher, WrappedNormal
from manifold_gen.manifolds import SO3, Sphere
from manifold_gen.testing import check_distribution
from manifold_gen.testing.distribution_laws import check_integral_and_agreement, check_neighbours


@pytest.mark.parametrize("name", ALL)
def test_laws(name, dtype, device):
    check_distribution(ALL[name]().to(device, dtype), samples=2500, queries=400, smooth=name not in JUMPS)


@pytest.mark.parametrize("name", ALL)
def test_pickle_deepcopy_and_state_keep_the_density(name):
    one = ALL[name]()
    x = one.sample(4, generator=torch.Generator().manual_seed(0))
    two = ALL[name]()
    two.load_state_dict(one.state_dict())
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one)), two):
        assert torch.equal(other.log_prob(x), one.log_prob(x))


class Broken(Distribution):
    """The sampler of one distribution with a density of another."""

    def __init__(self, sampler, density):
        super().__init__(sampler.manifold)
        self.sampler, self.density = sampler, density

    def sample(self, n, context=None, generator=None):
        return self.sampler.sample(n, context, generator)

    def log_prob(self, x, context=None):
        return self.density(x)


FISHER = VonMisesFisher([0.0, 0.0, 1.0], 5.0)
SHIFTED = VonMisesFisher(torch.nn.functional.normalize(torch.tensor([0.15, 0.0, 1.0]), dim=0), 5.0)
FAR = VonMisesFisher([0.0, 0.6, 0.8], 5.0)
WRAPPED = WrappedNormal(Sphere(2), [0.0, 0.0, 1.0], 0.55)
ROTATIONS = Uniform(SO3())


def without_log_det(x):
    u = WRAPPED.manifold.logmap(WRAPPED.loc, x)
    return WRAPPED.log_prob(x) + WRAPPED.manifold.log_det_exp(WRAPPED.loc.expand_as(u), u)


BROKEN = {
    "factor 1.1": Broken(FISHER, lambda x: FISHER.log_prob(x) + math.log(1.1)),
    "factor 1/1.1": Broken(FISHER, lambda x: FISHER.log_prob(x) - math.log(1.1)),
    "shifted mean": Broken(FISHER, SHIFTED.log_prob),
    "shifted far": Broken(FISHER, FAR.log_prob),
    "missing log-det": Broken(WRAPPED, without_log_det),
    "wrong volume": Broken(ROTATIONS, lambda x: torch.full(x.shape[:-2], -math.log(math.pi**2))),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_statistical_laws_have_teeth(name):
    with pytest.raises(AssertionError, match=r"integral|agreement"), torch.no_grad():
        check_integral_and_agreement(BROKEN[name], samples=8000)


@pytest.mark.parametrize("name", ["shifted far", "wrong volume"])
def test_neighbours_have_teeth(name):
    with pytest.raises(AssertionError, match="neighbours"), torch.no_grad():
        check_neighbours(BROKEN[name], samples=4000, queries=600)


def test_a_density_that_draws_random_numbers_is_caught():
    noisy = Broken(FISHER, lambda x: FISHER.log_prob(x) + 1e-3 * torch.rand(x.shape[:-1]))
    with pytest.raises(AssertionError, match=r"shapes|determinism"):
        check_distribution(noisy)


def test_a_sampler_that_ignores_its_generator_is_caught():
    class Deaf(Broken):
        def sample(self, n, context=None, generator=None):
            return self.sampler.sample(n)

    with pytest.raises(AssertionError, match="reproducibility"):
        check_distribution(Deaf(FISHER, FISHER.log_prob))


def test_a_wrong_batch_shape_is_caught():
    with pytest.raises(AssertionError, match="shapes"):
        check_distribution(Broken(FISHER, lambda x: FISHER.log_prob(x).unsqueeze(-1)))


def test_a_correct_sampler_passes_whatever_the_seed():
    correct = VonMisesFisher([0.0, 1.0], 2.0)
    with torch.no_grad():
        for seed in range(30):
            check_integral_and_agreement(correct, seed=seed, samples=500)
