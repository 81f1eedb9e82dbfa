"""Training by the likelihood at solved latents, and from the pairs of a continuous model."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from manifold_gen import calculus
from manifold_gen.data.base import Dataset, Split
from manifold_gen.errors import UsageError
from manifold_gen.manifolds import SO3, Manifold, Sphere, Torus
from manifold_gen.models import DistilledFlow, FlowMatching, FreeFormFlow
from manifold_gen.models.continuous import ContinuousDistribution
from manifold_gen.models.distillation import distil
from manifold_gen.models.pairs import flow_pairs
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.ode import Solver
from manifold_gen.seeds import generator
from manifold_gen.testing import check_model
from manifold_gen.training import TrainingConfig

SMALL = dict(width=12, depth=1, waves=4, frequency=2.0)
SOLVER = Solver("midpoint", 16)


class Known(ContinuousDistribution):
    """The flow of a field that is given as a function of the point; one parameter tells the dtype."""

    def __init__(self, manifold: Manifold, field: object) -> None:
        super().__init__(manifold, ContextEmbedding(), SOLVER)
        self.field, self.unit = field, torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def velocity(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        return self.unit.detach() * self.field(x)


def turning(x: Tensor) -> Tensor:
    """Rotation about the pole, one radian a unit of time."""
    return torch.stack([-x[..., 1], x[..., 0], torch.zeros_like(x[..., 0])], -1)


def rising(x: Tensor) -> Tensor:
    """Towards the north pole: the tangent part of the axis."""
    up = torch.tensor([0.0, 0.0, 1.0], dtype=x.dtype).expand_as(x)
    return Sphere(2).proju(x, up)


def drawing_in(x: Tensor) -> Tensor:
    """Towards angle 0 on a circle: tan(x/2) shrinks by exp(−1)."""
    return -torch.sin(x)


def perturbed(flow: FreeFormFlow, size: float = 0.1, seed: int = 5) -> FreeFormFlow:
    with torch.no_grad():
        for k, parameter in enumerate(flow.parameters()):
            draw = torch.randn(parameter.shape, generator=generator(seed, k), dtype=parameter.dtype)
            parameter.add_(size * draw)
    return flow


# ---- pairs ------------------------------------------------------------------------------------------------------


def test_pairs_of_a_rotation() -> None:
    sphere = Sphere(2)
    points = sphere.random_uniform(20, generator=generator(0), dtype=torch.float64)
    pairs = flow_pairs(Known(sphere, turning), points, None, 30, 10, SOLVER)
    turn = torch.tensor([[math.cos(1), -math.sin(1), 0], [math.sin(1), math.cos(1), 0], [0, 0, 1]], dtype=torch.float64)
    assert len(pairs) == 40
    torch.testing.assert_close(pairs.x, pairs.z @ turn.T, atol=1e-3, rtol=0)
    torch.testing.assert_close(
        calculus.determinant(pairs.jacobian), torch.ones(40, dtype=torch.float64), atol=1e-3, rtol=0
    )
    gram = pairs.jacobian.mT @ pairs.jacobian
    torch.testing.assert_close(gram, torch.eye(2, dtype=torch.float64).expand_as(gram), atol=1e-3, rtol=0)


def test_pairs_near_the_data_end_in_the_data() -> None:
    sphere = Sphere(2)
    points = sphere.random_uniform(20, generator=generator(0), dtype=torch.float64)
    pairs = flow_pairs(Known(sphere, rising), points, None, 0, 20, SOLVER)
    nearest = sphere.dist(pairs.x[:, None], points[None]).amin(1)
    assert float(nearest.max()) < 1e-3


@pytest.mark.parametrize(
    ("manifold", "field"), [(Sphere(2), rising), (Torus(1), drawing_in)], ids=["sphere:2", "torus:1"]
)
def test_jacobians_of_pairs_agree_with_the_integrated_divergence(manifold: Manifold, field: object) -> None:
    teacher = Known(manifold, field)
    points = manifold.random_uniform(5, generator=generator(0), dtype=torch.float64)
    pairs = flow_pairs(teacher, points, None, 20, 5, SOLVER)
    back = teacher.pull_back(pairs.x).log_volume
    torch.testing.assert_close(calculus.log_abs_det(pairs.jacobian), -back, atol=2e-3, rtol=0)


def test_pairs_of_a_closed_form_and_their_stages() -> None:
    circle = Torus(1)
    points = circle.random_uniform(4, generator=generator(0), dtype=torch.float64)
    pairs = flow_pairs(Known(circle, drawing_in), points, None, 50, 4, SOLVER, stages=2)
    half, full = pairs.stops.unbind(1)
    for stop, time in ((half, 0.5), (full, 1.0)):
        torch.testing.assert_close(torch.tan(stop / 2), torch.tan(pairs.z / 2) * math.exp(-time), atol=1e-3, rtol=1e-3)


def test_pairs_are_decided_by_the_seed() -> None:
    teacher = Known(Torus(1), drawing_in)
    points = Torus(1).random_uniform(9, generator=generator(0), dtype=torch.float64)
    first, second, other = (flow_pairs(teacher, points, None, 5, 5, SOLVER, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.stops, second.stops)
    assert not torch.equal(first.stops, other.stops)


# ---- distillation -----------------------------------------------------------------------------------------------


def test_the_identity_has_nothing_to_learn_from_a_teacher_at_rest() -> None:
    flow = DistilledFlow(Sphere(2), pairs=30, near=10, pair_steps=2, volume_weight=1.0, **SMALL).double()
    points = Sphere(2).random_uniform(20, generator=generator(0), dtype=torch.float64)
    flow.learn_from(Known(Sphere(2), torch.zeros_like), points)
    terms = flow.losses(points)
    assert set(terms) == {"pair_decoder", "pair_encoder", "pair_jacobian", "pair_volume"}
    for term in terms.values():
        assert float(term.detach().abs().max()) < 1e-12


def test_a_teacher_that_moves_is_an_error_to_learn() -> None:
    """Teeth: every term sees a flow that the identity is not."""
    flow = DistilledFlow(Sphere(2), pairs=30, near=10, pair_steps=4, volume_weight=1.0, **SMALL).double()
    points = Sphere(2).random_uniform(20, generator=generator(0), dtype=torch.float64)
    flow.learn_from(Known(Sphere(2), rising), points)
    assert all(float(term.detach().mean()) > 1e-2 for term in flow.losses(points).values())


def test_the_likelihood_follows_the_pairs() -> None:
    flow = DistilledFlow(Torus(1), pairs=8, near=8, pair_steps=2, share=0.5, **SMALL)
    points = Torus(1).random_uniform(8, generator=generator(0))
    assert "nll" in flow.losses(points)  # no pairs yet
    flow.learn_from(FlowMatching(Torus(1), width=8, depth=1), points)
    flow.set_progress(0.49)
    assert "nll" not in flow.losses(points)
    flow.set_progress(0.5)
    assert "nll" in flow.losses(points)


def test_a_student_learns_a_known_flow() -> None:
    circle = Torus(1)
    z = circle.random_uniform(600, generator=generator(0))
    x = 2 * torch.atan(torch.tan(z / 2) * math.exp(-1))
    data = Dataset("drawn in", circle, Split(x[:500]), Split(x[500:550]), Split(x[550:]))
    student = DistilledFlow(
        circle, pairs=400, near=400, pair_steps=8, stages=2, share=0.6, width=16, depth=1, frequency=2.0, waves=4
    )
    teacher = Known(circle, drawing_in).float()
    result = distil(teacher, student, data, TrainingConfig(steps=80, batch_size=128, eval_every=80), quiet=True)
    assert result.model is student
    at = torch.linspace(-2.5, 2.5, 50)[:, None]
    truth = 2 * torch.atan(torch.tan(at / 2) * math.exp(-1))
    assert float(circle.dist(student.decode(at), truth).max().detach()) < 0.15
    record = student.score(at)
    assert bool(record.converged.all())
    exact = teacher.log_prob(at)
    assert float((record.log_prob - exact).abs().mean().detach()) < 0.15


def test_a_teacher_elsewhere_is_refused() -> None:
    with pytest.raises(UsageError, match="the teacher lives on"):
        DistilledFlow(Torus(1), **SMALL).learn_from(FlowMatching(Torus(2), width=8, depth=1), torch.zeros(3, 1))
    with pytest.raises(UsageError, match="pair_steps is 2"):
        DistilledFlow(Torus(1), pair_steps=2, stages=3, **SMALL)


# ---- the likelihood at solved latents ---------------------------------------------------------------------------


@pytest.mark.parametrize("manifold", [Sphere(2), Torus(2), SO3()], ids=str)
def test_its_value_and_gradient_are_those_of_the_honest_likelihood(manifold: Manifold) -> None:
    flow = perturbed(FreeFormFlow(manifold, volume="inverse", **SMALL).double(), 0.05)
    x = manifold.random_uniform(6, generator=generator(1), dtype=torch.float64)
    record = flow.score(x)
    assert bool(record.converged.all())
    nll = flow.losses(x)["nll"]
    # one Newton step from a residual of 1e-3 leaves its square
    torch.testing.assert_close(nll, -record.log_prob, atol=1e-4, rtol=0)
    parameter = flow.decoder.networks[0].last.weight
    (gradient,) = torch.autograd.grad(nll.sum(), parameter)
    direction = torch.randn(parameter.shape, generator=generator(2), dtype=torch.float64)
    ends = []
    for sign in (1, -1):
        moved = copy.deepcopy(flow)
        with torch.no_grad():
            moved.decoder.networks[0].last.weight.add_(sign * 1e-5 * direction)
            ends.append(float(-moved.score(x).log_prob.sum()))
    assert float((gradient * direction).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=5e-3, abs=5e-3)


class Mirror(torch.nn.Module):
    """z ↦ z with the sign of its first angle turned round, times ``scale``."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(scale, dtype=torch.float64))

    def forward(self, z: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        return torch.cat([self.scale * z[..., :1], z[..., 1:]], -1)

    def pushforward(
        self, z: torch.Tensor, tangents: torch.Tensor, context: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self(z), self(tangents)


def test_a_fold_at_a_solved_latent_is_penalised_in_any_dimension() -> None:
    torus = Torus(7)
    flow = FreeFormFlow(torus, volume="inverse", fold_penalty=2.0, **SMALL).double()
    assert not flow.penalises_folds
    x = 0.1 * torch.randn(12, 7, generator=generator(1), dtype=torch.float64)
    assert float(flow.losses(x)["fold"].detach().abs().max()) == 0.0
    flow.decoder = Mirror(-1.0)
    fold = flow.losses(x)["fold"]
    # 1 − det / ε with det = −1 and ε a hundredth of the median |det|
    torch.testing.assert_close(fold.detach(), torch.full_like(fold, 2.0 * 101.0))
    (pull,) = torch.autograd.grad(fold.mean(), flow.decoder.scale)
    assert float(pull) == pytest.approx(-200.0)  # towards det > 0


def test_the_encoder_never_pulls_at_the_decoder() -> None:
    flow = perturbed(FreeFormFlow(Sphere(2), volume="inverse", **SMALL).double())
    x = Sphere(2).random_uniform(16, generator=generator(1), dtype=torch.float64)
    terms = flow.losses(x)
    encoder, decoder = list(flow.encoder.parameters()), list(flow.decoder.parameters())
    for name, wanted, unwanted in (
        ("nll", decoder, encoder),
        ("reconstruction", encoder, decoder),
        ("latent_reconstruction", encoder, decoder),
        ("proposal_reconstruction", encoder, decoder),
    ):
        of_wanted = torch.autograd.grad(terms[name].sum(), wanted, retain_graph=True, allow_unused=True)
        of_unwanted = torch.autograd.grad(terms[name].sum(), unwanted, retain_graph=True, allow_unused=True)
        assert any(g is not None and bool((g != 0).any()) for g in of_wanted), name
        assert all(g is None or not bool((g != 0).any()) for g in of_unwanted), name


def test_points_without_a_preimage_pull_at_both_networks() -> None:
    circle = Torus(1)
    flow = FreeFormFlow(circle, volume="inverse", head="projection", **SMALL).double()
    with torch.no_grad():  # everything is decoded to angles about 0
        flow.decoder.networks[0].last.bias.copy_(torch.tensor([30.0, 0.0]))
    x = torch.full((4, 1), 3.0, dtype=torch.float64)
    terms = flow.losses(x)
    assert float(terms["nll"].abs().max().detach()) == 0.0
    assert float(terms["reconstruction"].min().detach()) > 1.0
    gradient = torch.autograd.grad(terms["reconstruction"].sum(), flow.decoder.networks[0].last.bias)[0]
    assert bool((gradient != 0).any())
    assert float(flow.validation(x)["nll"].mean()) == 10.0


@pytest.mark.parametrize("manifold", [Sphere(2), Torus(2)], ids=str)
def test_an_inversion_does_not_hang_on_the_encoder(manifold: Manifold) -> None:
    flow = perturbed(FreeFormFlow(manifold, **SMALL).double(), 0.05)
    x = manifold.random_uniform(200, generator=generator(1), dtype=torch.float64)
    before = flow.score(x)
    perturbed(flow.encoder, 2.0)
    after = flow.score(x)
    assert float(flow.reconstruction_error(x).detach().mean()) > 0.3
    assert bool(before.converged.all())
    assert bool(after.converged.all())
    torch.testing.assert_close(after.log_prob, before.log_prob)
    assert torch.equal(after.log_prob, flow.score(x).log_prob)


@pytest.mark.parametrize("manifold", [Sphere(2)], ids=str)
def test_it_obeys_the_laws_of_a_model(manifold: Manifold) -> None:
    flow = DistilledFlow(manifold, width=16, depth=1, frequency=2.0, waves=16)
    check_model(flow, manifold.random_uniform(20, generator=generator(0)), steps=60, samples=500)
