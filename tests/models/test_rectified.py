"""Rectified flows: what they learn from another flow's pairs, in one evaluation, and what they refuse."""

from __future__ import annotations

import pytest
import torch

from manifold_gen import models
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_clouds import PointClouds
from manifold_gen.models import EndpointFlow, FlowMatching, RectifiedFlow
from manifold_gen.models.rectified import rectify
from manifold_gen.models.renewal import Renewal
from manifold_gen.seeds import generator

CLOUDS = PointClouds(2, 0)
SIZE = {"width": 16, "pair_width": 8, "depth": 2}
SIGMA = 1.7


def split_of(sizes):
    return RaggedSplit.join([CLOUDS.at(n).projx(torch.randn(n, 2, generator=generator(n, k))) for k, n in sizes])


TRAIN = split_of([(k, 3 if k % 4 else 5) for k in range(40)])


def normal_teacher():
    """Its guess is right for normal clouds of deviation σ: the network is zero, and so F should be."""
    teacher = models.build(EndpointFlow, CLOUDS, **SIZE)
    teacher.prepare(TRAIN)
    teacher.member.scale.fill_(SIGMA)
    return teacher


def student_of(teacher, count=2000, **options):
    student = models.build(RectifiedFlow, CLOUDS, **SIZE, **options)
    rectify(teacher, student, TRAIN, count, steps=40)
    return student


def test_pairs_are_the_flow_of_the_teacher_with_sizes_by_their_law():
    student = student_of(normal_teacher())
    pairs = student.member.pairs_by_size
    assert set(pairs) == {3, 5}
    assert abs(len(pairs[3]) - 1500) < 100  # five standard deviations
    assert len(pairs[3]) + len(pairs[5]) == 2000
    # σ z, up to the Euler steps that a pair takes
    assert torch.allclose(pairs[5].x, SIGMA * pairs[5].z, rtol=0.1, atol=0.02)


@pytest.mark.parametrize(("start", "spread"), [(0.5, SIGMA), (None, 0.0)])
def test_one_evaluation_draws_what_the_teacher_draws_in_many(start, spread):
    # at t = 0 the guess of a flow of independent noise is the mean of all clouds, which is nothing
    teacher = normal_teacher()
    student = models.build(EndpointFlow, CLOUDS, **SIZE) if start is None else student_of(teacher, start=start)
    if start is None:
        student.load_state_dict(teacher.state_dict())
    optimiser = torch.optim.Adam(student.parameters(), 5e-3)
    for step in range(300):
        optimiser.zero_grad()
        x = SIGMA * CLOUDS.at(3).projx(torch.randn(64, 3, 2, generator=generator(5, step)))
        student.on(x).loss(x, generator=generator(6, step)).mean().backward()
        optimiser.step()
    drawn = student.at(3).sample(2000, generator=generator(7), steps=1, noise=0.0)
    assert abs(float(drawn.square().sum((-1, -2)).mean() / 4) ** 0.5 - spread) < 0.2


def test_it_starts_from_the_weights_of_the_teacher():
    teacher = normal_teacher()
    student = student_of(teacher, count=10)
    z = CLOUDS.at(4).projx(torch.randn(3, 4, 2, generator=generator(8)))
    quiet = Renewal(5, 0.0)
    assert torch.equal(quiet.refine(student.at(4), z), quiet.refine(teacher.at(4), z))


def test_rows_begin_at_the_latents_as_often_as_told(monkeypatch):
    student = student_of(normal_teacher(), start=0.25).at(3)
    drawn, seen = student.auxiliary(1000, generator(9)), {}
    monkeypatch.setattr(EndpointFlow, "losses", lambda self, x, context, told: seen.update(told))
    student.losses(drawn["latent"], None, drawn)
    assert torch.equal(seen["time"] == 0, drawn["time"] <= 0.25)
    assert torch.equal(seen["latent"], student.pairs.z[drawn["pair"]])


def test_what_does_not_go_together_is_refused():
    teacher = normal_teacher()
    with pytest.raises(UsageError, match="FlowMatching and RectifiedFlow were given"):
        rectify(models.build(FlowMatching, CLOUDS, width=8, depth=1), student_of(teacher, 5), TRAIN, 5, 2)
    wider = models.build(RectifiedFlow, CLOUDS, **{**SIZE, "width": 24})
    with pytest.raises(UsageError, match="the networks of teacher and student differ"):
        rectify(teacher, wider, TRAIN, 5, 2)
    with pytest.raises(UsageError, match="pairing is on"):
        RectifiedFlow(CLOUDS.at(3), pairing=True)
    with pytest.raises(UsageError, match="start is 2"):
        RectifiedFlow(CLOUDS.at(3), start=2)
