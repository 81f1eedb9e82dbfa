"""Free-form flows of molecules: training that holds, densities that are exact, students of a flow."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import manifold_gen as mg
from manifold_gen import models
from manifold_gen.data.base import Dataset
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.manifolds.point_clouds import PointClouds
from manifold_gen.metrics.molecules import exact_likelihood, likelihood_bound
from manifold_gen.models import DistilledFlow, EndpointFlow, FlowMap, FreeFormFlow
from manifold_gen.models.cloud_pairs import cloud_pairs
from manifold_gen.models.continuous import ContinuousDistribution
from manifold_gen.models.distillation import distil
from manifold_gen.models.pairing import paired
from manifold_gen.models.resizing import resized
from manifold_gen.networks.cloud_transformer import random_rotations
from manifold_gen.networks.context import ContextEmbedding
from manifold_gen.ode import Solver
from manifold_gen.seeds import generator

CLOUDS = PointClouds(3, 2)
SMALL = {"width": 16, "depth": 2}


def molecules(count: int, seed: int = 0) -> RaggedSplit:
    """Chains of three or four points with bonds of about 1, their ends of one kind, the others of another."""
    clouds = []
    for k in range(count):
        n = 3 + k % 2
        steps = torch.tensor([1.0, 0.2, 0.0]) + 0.15 * torch.randn(n, 3, generator=generator(seed, k))
        kinds = torch.tensor([0] + [1] * (n - 2) + [0])
        cloud = torch.cat([steps.cumsum(0), torch.nn.functional.one_hot(kinds, 2).float()], -1)
        clouds.append(CLOUDS.at(n).projx(cloud))
    return RaggedSplit.join(clouds)


DATA = Dataset("chains", CLOUDS, molecules(64), molecules(16, 1), molecules(16, 2))


def moved(flow: torch.nn.Module, size: float, seed: int = 3) -> torch.nn.Module:
    """The flow in double precision with every weight moved."""
    with torch.no_grad():
        for k, parameter in enumerate(flow.parameters()):
            parameter.add_(size * torch.randn(parameter.shape, generator=generator(seed, k)))
    return flow.double().eval()


@pytest.fixture(scope="module")
def trained() -> models.SizedModel:
    model = models.build(FreeFormFlow, CLOUDS, **SMALL)
    config = mg.TrainingConfig(steps=80, batch_size=32, eval_every=40)
    return mg.fit(model, DATA, config, quiet=True).model


# ---- training ---------------------------------------------------------------------------------------------------


def test_a_short_training_on_small_molecules_learns_stays_finite_and_reconstructs():
    dataset = mg.load_dataset("qm9", max_heavy=4)
    model = models.build(FreeFormFlow, dataset.manifold, width=32, depth=2)
    records: list[dict] = []
    config = mg.TrainingConfig(steps=60, batch_size=32, eval_every=20, log_every=10)
    mg.fit(model, dataset, config, callbacks=[records.append], quiet=True)
    losses = [record["loss"] for record in records if record["split"] == "val"]
    assert all(math.isfinite(record["loss"]) for record in records)
    assert max(losses) < 80
    assert losses[-1] < losses[0] - 2
    split = dataset.val.take((dataset.val.sizes == 12).nonzero().squeeze(-1))
    x = model.member.dequantised(split.batch(torch.arange(len(split))).x, generator(0))
    assert len(x) > 0
    assert float(model.at(12).reconstruction_error(x).detach().max()) < 0.5


def test_the_networks_differentials_are_held_together(trained):
    """Teeth: the term that does it is there on clouds, is small after a training, and can be left out."""
    x = DATA.val.batch((DATA.val.sizes == 4).nonzero().squeeze(-1)).x
    flow = trained.at(4)
    terms = flow.losses(x, None, flow.auxiliary(len(x), generator(1)))
    assert 0 < float(terms["consistency"].detach().mean()) < 0.3 * flow.manifold.dim
    free = FreeFormFlow(CLOUDS.at(4), consistency=0.0, **SMALL)
    assert "consistency" not in free.losses(x, None, free.auxiliary(len(x), generator(1)))


# ---- the exact density ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 4, 6])
def test_the_density_is_that_of_finite_differences(n):
    flow = moved(FreeFormFlow(CLOUDS.at(n), **SMALL), 0.03)
    manifold, step = flow.manifold, 1e-5
    z = flow.base.sample(2, generator=generator(1)).double()
    basis = manifold.tangent_basis(z[0])
    x = flow.decode(z).detach()
    record = flow.score(x)
    assert bool(record.converged.all())
    for row in range(2):
        ends = [flow.decode(z[row] + sign * step * basis).detach() for sign in (1, -1)]
        matrix = manifold.to_coordinates(x[row].expand_as(basis), (ends[0] - ends[1]) / (2 * step))
        log_det = torch.linalg.slogdet(matrix).logabsdet
        normal = -0.5 * (z[row].square().sum() + manifold.dim * math.log(2 * math.pi))
        assert float(record.log_prob[row].detach()) == pytest.approx(float(normal - log_det), abs=1e-6)
        assert float(log_det.abs()) > 0.01, "a volume that does not change shows nothing"


def test_the_density_does_not_see_how_a_molecule_lies_or_is_ordered(trained):
    model = trained.double()
    x = model.member.dequantised(DATA.test.to(dtype=torch.float64).batch(torch.tensor([1, 3])).x, generator(4))
    turn = random_rotations(1, 3, generator(5), dtype=torch.float64)[0]
    mirror = turn * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    flow, order = model.at(4), torch.tensor([2, 0, 3, 1])
    found = flow.log_prob(x).detach()
    for other in (
        torch.cat([x[..., :3] @ turn, x[..., 3:]], -1),
        torch.cat([x[..., :3] @ mirror, x[..., 3:]], -1),
        x[:, order],
    ):
        torch.testing.assert_close(flow.log_prob(other).detach(), found, atol=1e-7, rtol=0)
    stretched = torch.cat([1.1 * x[..., :3], x[..., 3:]], -1)
    assert float((flow.log_prob(stretched).detach() - found).abs().min()) > 1e-3
    trained.float()


def test_the_score_of_a_family_holds_the_law_of_sizes_and_keeps_the_order(trained):
    split = molecules(6, 7)
    record = trained.score(split)
    for row, cloud in enumerate(split.clouds):
        alone = trained.at(len(cloud)).score(cloud.unsqueeze(0)).log_prob.detach()
        assert float(record.log_prob[row]) == pytest.approx(float(alone) + math.log(0.5), abs=1e-3)
    never = RaggedSplit.join([CLOUDS.at(5).projx(torch.randn(5, 5, generator=generator(8)))])
    assert float(trained.score(never).log_prob) == -math.inf


def test_the_exact_likelihood_is_valid_and_the_mean_of_what_is_scored(trained):
    report = exact_likelihood(trained, DATA.test, round_trips=400)
    assert report.valid, report.faults
    assert report.count == 16
    double = trained.double()
    rows = DATA.test.to(dtype=torch.float64)
    noisy = double.member.dequantised(rows.x, generator(0, 2))
    mean = float(-double.score(RaggedSplit(noisy, None, rows.sizes)).log_prob.mean())
    trained.float()
    assert report.nll == pytest.approx(mean, abs=1e-6)
    bound = likelihood_bound(trained, DATA.test, samples=8)
    assert (bound.left_out, bound.samples) == (0, 8)
    assert bound.value.value == pytest.approx(report.nll, abs=6 * report.nll_se)


def test_a_family_without_such_a_density_says_which_has_one():
    model = models.build(EndpointFlow, CLOUDS, width=8, pair_width=8, depth=1)
    with pytest.raises(UsageError, match="free-form-flow has"):
        exact_likelihood(model, DATA.test)
    with pytest.raises(UsageError, match="has no density"):
        models.build(FlowMap, CLOUDS, width=8, depth=1).score(DATA.test)


# ---- pairs of a flow --------------------------------------------------------------------------------------------


class Shrinking(ContinuousDistribution):
    """Positions shrink by exp(−1), features run to kind 0 where the first of them is the larger."""

    def __init__(self, manifold: PointCloud) -> None:
        super().__init__(manifold, ContextEmbedding(), Solver("midpoint", 8))
        self.unit, self.hyperparameters = torch.nn.Parameter(torch.ones(())), {}

    def velocity(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        return self.unit.detach() * torch.cat([-x[..., :3], torch.zeros_like(x[..., 3:])], -1)

    def on_size(self, manifold: PointCloud) -> Shrinking:
        return resized(self, manifold)


def shrinking() -> models.SizedModel:
    teacher = models.SizedModel(CLOUDS, Shrinking(CLOUDS.at(2)))
    teacher.prepare = lambda train: None
    return teacher


def test_pairs_go_both_ways_and_keep_what_the_kinds_lose():
    found = cloud_pairs(shrinking(), DATA.train, 1.0, 40, 64, Solver("midpoint", 16))
    assert set(found) == {3, 4}
    assert sum(len(pairs) for pairs in found.values()) == 40 + 64
    for n, pairs in found.items():
        kinds = pairs.x[..., 3:].argmax(-1)
        inside = pairs.x[..., 3:] - torch.nn.functional.one_hot(kinds, 2)
        torch.testing.assert_close(inside, torch.special.ndtr(pairs.z[..., 3:]) - 0.5, atol=1e-6, rtol=0)
        drawn, near = slice(0, len(pairs) - 32), slice(len(pairs) - 32, None)
        assert torch.equal(kinds[drawn], pairs.z[drawn][..., 3:].argmax(-1)), "the field leaves features alone"
        shrunk = math.exp(-1) * pairs.z[..., :3]
        torch.testing.assert_close(pairs.x[drawn][..., :3], shrunk[drawn], atol=1e-3, rtol=0)
        known = torch.stack([cloud for cloud in DATA.train.clouds if len(cloud) == n])
        gap = (pairs.x[near].unsqueeze(1) - known)[..., :3].abs().amax((-2, -1)).amin(1)
        assert float(gap.max()) < 1e-5, "these end in training clouds"
        assert bool((kinds[near] == known[0, :, 3:].argmax(-1)).all())
        start = torch.lerp(pairs.z[near], pairs.x[near], 0.98)[..., :3]  # a straight path would have begun there
        assert float((start - pairs.x[near][..., :3]).abs().max()) > 1e-3


def test_a_student_learns_a_known_flow_of_every_size():
    student = models.build(DistilledFlow, CLOUDS, pairs=150, near=0, pair_steps=8, share=1.0, **SMALL)
    config = mg.TrainingConfig(steps=100, batch_size=32, eval_every=100, keep="last")
    distil(shrinking(), student, DATA, config, quiet=True)
    for n in (3, 4):
        z = CLOUDS.at(n).random_tangent(torch.zeros(40, n, 5), generator=generator(9))
        student_x, errors = student.at(n).decode(z).detach(), []
        for scale in (1.0, math.exp(-1)):
            errors.append(float((student_x[..., :3] - scale * z[..., :3]).square().sum((-2, -1)).mean()))
        assert errors[1] < 0.25 * errors[0]


def test_pairs_are_used_at_their_size_and_left_out_where_there_are_none():
    student = models.build(DistilledFlow, CLOUDS, pairs=8, near=8, pair_steps=2, share=0.5, **SMALL)
    student.prepare(DATA.train)
    student.member.pairs_by_size = {3: cloud_pairs(shrinking(), DATA.train, 1.0, 8, 8, Solver("midpoint", 2))[3]}
    assert "pair_decoder" in student.losses(DATA.train.batch(torch.tensor([0, 2])).x)
    assert "nll" in student.losses(DATA.train.batch(torch.tensor([1, 3])).x)


def test_a_teacher_of_other_clouds_is_refused():
    other = models.build(EndpointFlow, PointClouds(3, 4), width=8, pair_width=8, depth=1)
    student = models.build(DistilledFlow, CLOUDS, **SMALL)
    with pytest.raises(UsageError, match="clouds:3,4"):
        distil(other, student, DATA)


def test_a_flow_map_learns_from_an_endpoint_flow_with_the_noise_it_knows():
    x = DATA.train.batch(torch.tensor([1, 3, 5, 7])).x
    student = models.build(FlowMap, CLOUDS, **SMALL)
    losses, drawn = [], student.on(x).auxiliary(len(x), generator(1))
    for pairing in (False, True):
        teacher = models.build(EndpointFlow, CLOUDS, width=8, pair_width=8, depth=1, pairing=pairing)
        teacher.prepare(DATA.train)
        student.member.distil(teacher.member)
        latent = drawn["latent"] if pairing else paired(drawn["latent"], x, 3)
        losses.append(sum(student.on(x).losses(x, None, drawn | {"latent": latent}).values()).detach())
    torch.testing.assert_close(*losses)
    mg.fit(student, DATA, mg.TrainingConfig(steps=4, batch_size=16), quiet=True)
    assert student.sample(4, generator=generator(2), steps=2).x.isfinite().all()
