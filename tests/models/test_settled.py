"""Settled flows: where a teacher settles clouds, what a generator learns from it, and what they refuse."""

from __future__ import annotations

import pytest
import torch

import manifold_gen as mg
from manifold_gen import models
from manifold_gen.checkpoint import save_model
from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import UsageError
from manifold_gen.manifolds.point_cloud import PointCloud
from manifold_gen.manifolds.point_clouds import PointClouds
from manifold_gen.models import EndpointFlow, FlowMatching, SettledFlow
from manifold_gen.models.noise_schedule import time_pairs
from manifold_gen.models.settled import settle
from manifold_gen.models.settling import PRECISIONS, Teacher, balanced
from manifold_gen.seeds import generator

CLOUDS = PointClouds(2, 2)
SIZE = {"width": 16, "pair_width": 8, "depth": 2}
SIGMA = 1.7


def cloud(n, count, seed):
    kinds = torch.eye(2)[torch.randint(2, (count, n), generator=generator(seed, 1))]
    positions = SIGMA * torch.randn(count, n, 2, generator=generator(seed))
    return CLOUDS.at(n).projx(torch.cat([positions, kinds], -1))


TRAIN = RaggedSplit.join([cloud(3 if k % 4 else 5, 1, k)[0] for k in range(40)])


def normal_teacher(**options):
    """Its guess of positions is right for normal clouds of deviation σ: the network is zero, and so F should be."""
    teacher = models.build(EndpointFlow, CLOUDS, **SIZE, **options)
    teacher.prepare(TRAIN)
    teacher.member.scale.fill_(SIGMA)
    return teacher


def student_of(teacher, **options):
    student = models.build(SettledFlow, CLOUDS, **SIZE, **options)
    settle(teacher, student)
    student.prepare(TRAIN)
    return student


def moved(model, seed=3, by=0.05):
    """The same model with weights that are not zero."""
    with torch.no_grad():
        for k, parameter in enumerate(model.parameters()):
            parameter.add_(by * torch.randn(parameter.shape, generator=generator(seed, k)))
    return model


def test_every_network_stands_on_the_line_from_the_latent_to_the_guess_before():
    teacher = moved(normal_teacher())
    member = teacher.at(4)
    x = z = member.base.sample(6, generator=generator(1))
    for t, after in zip(*time_pairs(3), strict=True):
        guess = member.endpoint(x, torch.full((6,), t))
        x = after * guess + (1 - after) * z
    made = student_of(teacher, stages=3).at(4).guesses(z)
    assert torch.allclose(made[-1], guess, atol=1e-6)
    assert len(made) == 3


def test_more_stages_begin_with_the_networks_that_stood_for_their_times_or_later_ones():
    teacher = normal_teacher()
    few = moved(student_of(teacher, stages=2))
    many = models.build(SettledFlow, CLOUDS, **SIZE, stages=4)
    settle(teacher, many, few)
    first, second = (flow.state_dict() for flow in few.member.flows)  # for t = 0 and t = 0.75
    for flow, expected in zip(many.member.flows, (first, second, second, second), strict=True):
        assert all(torch.equal(weights, expected[name]) for name, weights in flow.state_dict().items())
    assert any(not torch.equal(first[name], second[name]) for name in first)
    z = few.at(4).base.sample(6, generator=generator(1))
    # two passes of the few are one of the many
    assert torch.allclose(few.at(4).guesses(z, steps=2)[-1], many.at(4).guesses(z)[-1], atol=1e-6)
    assert not torch.allclose(few.at(4).guesses(z)[-1], many.at(4).guesses(z)[-1], atol=1e-3)


def test_passes_of_the_sampler_are_those_of_its_guesses():
    model = moved(student_of(normal_teacher(), stages=2)).at(4)
    z = model.base.sample(6, generator=generator(1))
    for steps in (1, 3):
        assert torch.equal(model.sample(6, generator=generator(1), steps=steps), model.guesses(z, steps=steps)[-1])
    with pytest.raises(UsageError, match="steps is 0"):
        model.sample(2, steps=0)


def test_the_temperature_is_the_size_of_the_latents():
    model = moved(student_of(normal_teacher(), stages=2)).at(4)
    z = model.base.sample(6, generator=generator(1))
    cold = model.sample(6, generator=generator(1), temperature=0.7)
    assert torch.equal(cold, model.guesses(0.7 * z)[-1])
    assert float((cold - model.sample(6, generator=generator(1))).abs().max()) > 1e-3
    model.hyperparameters["temperature"] = 0.7
    assert torch.equal(cold, model.sample(6, generator=generator(1)))
    with pytest.raises(UsageError, match="temperature is 0"):
        model.sample(2, temperature=0.0)


def noise_of(count, rounds, n=5, seed=3):
    return CLOUDS.at(n).projx(torch.randn(count, rounds, n, 4, generator=generator(seed)))


def test_clouds_settle_by_the_law_of_a_normal_teacher():
    teacher = Teacher(normal_teacher().member).at(CLOUDS.at(5))
    x = cloud(5, 4000, 2)
    settled = teacher.settle(x, noise_of(4000, 3), torch.full((4000,), 0.4))
    variance, kept = SIGMA**2, 1.0
    for u in time_pairs(3)[0]:
        t = 1 - 0.6 * (1 - u)
        guess = t * SIGMA**2 / ((1 - t) ** 2 + (t * SIGMA) ** 2)  # the posterior mean is so many times x_t
        variance, kept = guess**2 * (t**2 * variance + (1 - t) ** 2), kept * guess * t
    found, before = settled[..., :2], x[..., :2]
    assert abs(float(found.square().sum((1, 2)).mean() / 8) / variance - 1) < 0.05
    assert abs(float((found * before).sum() / before.square().sum()) / kept - 1) < 0.02


def test_paired_noise_settles_a_cloud_near_where_it_was():
    x, apart = cloud(5, 500, 4), []
    for pairing in (False, True):
        teacher = Teacher(normal_teacher(pairing=pairing).member).at(CLOUDS.at(5))
        settled = teacher.settle(x, noise_of(500, 2), torch.full((500,), 0.55))
        apart.append(float((settled - x)[..., :2].square().mean()))
    assert apart[1] < 0.7 * apart[0]


def test_half_precision_is_near_and_keeps_the_kind_of_number():
    x, start = cloud(5, 50, 4), torch.full((50,), 0.7)
    flow = moved(normal_teacher()).member
    full, half = (Teacher(flow, precision=p).at(CLOUDS.at(5)).settle(x, noise_of(50, 2), start) for p in PRECISIONS)
    assert half.dtype == full.dtype == torch.float32
    assert 0 < float((half - full).abs().max()) < 0.1
    with pytest.raises(UsageError, match="precision is 'float16'"):
        Teacher(flow, precision="float16")


def test_a_judge_sends_wrong_clouds_further_back_and_takes_what_is_right_then():
    x, noise = cloud(5, 40, 4), noise_of(40, 3)
    late, early = torch.full((40,), 0.9), torch.full((40,), 0.3)
    right = torch.arange(40) % 2 == 0
    asked = []

    def judge(clouds):  # of the wrong ones it finds those right that end on one side
        asked.append(clouds)
        return right if len(asked) == 1 else clouds[:, 0, 0] > 0

    flow = normal_teacher().member
    goal = Teacher(flow, judge).at(CLOUDS.at(5)).goals(x, noise, 1, late, early)
    plain = Teacher(flow).at(CLOUDS.at(5))
    near, far = plain.settle(x, noise[:, :1], late), plain.settle(x, noise, early)
    mended = ~right & (far[:, 0, 0] > 0)
    assert 5 < int(mended.sum()) < 15
    assert torch.equal(asked[0], x)
    assert torch.allclose(goal, torch.where(mended[:, None, None], far, near), atol=1e-6)
    # without a judge, and with one that is content, all settle from late
    content = Teacher(flow, lambda clouds: torch.ones(len(clouds), dtype=torch.bool)).at(CLOUDS.at(5))
    for teacher in (plain, content):
        assert torch.equal(teacher.goals(x, noise, 1, late, early), near)


def test_training_goes_where_the_judge_lets_clouds_go():
    # untrained, all clouds are made in one point: there a normal teacher leaves them from the earliest times, and
    # moves them from late ones
    def miss(*verdicts):
        mending = {"mend_earliest": 1e-6, "mend_latest": 1e-6, "mend_rounds": 1}
        student = models.build(SettledFlow, CLOUDS, **SIZE, stages=1, rounds=1, anchor=0.0, **mending)
        left = iter(verdicts)
        judge = (lambda clouds: torch.full((len(clouds),), next(left))) if verdicts else None
        settle(normal_teacher(), student, judge=judge)
        member = student.at(5)
        return float(
            member.losses(cloud(5, 50, 0), None, member.auxiliary(50, generator(5)))["positions"].detach().mean()
        )

    assert miss() > 0.1
    assert miss(True) == miss(False, False) == miss()  # right, or wrong before and after
    assert miss(False, True) < 1e-6


def test_every_network_keeps_to_real_clouds_of_its_own_noise():
    with_anchor, without = (moved(student_of(normal_teacher(), stages=2, anchor=anchor)).at(5) for anchor in (0.7, 0.0))
    x = cloud(5, 7, 0)
    drawn = without.auxiliary(7, generator(5))
    z, found = drawn["latent"], []
    for rows, flow, t in ((slice(0, 4), 0, 0.0), (slice(4, 7), 1, 0.75)):
        x_t = (1 - t) * z[rows] + t * x[rows]
        found.append(without.flows[flow].endpoint(x_t, torch.full((len(x_t),), t)))
    expected = without._misses(torch.cat(found), x)
    anchored, free = with_anchor.losses(x, None, drawn), without.losses(x, None, drawn)
    for name, miss in expected.items():
        assert torch.allclose(anchored[name] - free[name], 0.7 * miss, atol=1e-5)
        assert bool((miss > 1e-3).any())


def test_the_generator_moves_to_where_the_teacher_settles():
    # settling brings a normal cloud nearer to the mode of its law, which is nothing: so does the training
    student = student_of(normal_teacher(), stages=2, earliest=0.3, latest=0.3, rounds=1, early=0.0, anchor=0.0)
    member = student.at(3)
    z = member.base.sample(500, generator=generator(7))
    spread = [float(member.guesses(z)[-1][..., :2].detach().square().mean().sqrt())]
    optimiser = torch.optim.Adam(student.parameters(), 5e-3)
    for step in range(120):
        optimiser.zero_grad()
        member.loss(cloud(3, 64, step), generator=generator(8, step)).mean().backward()
        optimiser.step()
    spread.append(float(member.guesses(z)[-1][..., :2].detach().square().mean().sqrt()))
    assert spread[1] < 0.5 * spread[0]


def test_kinds_that_are_made_too_seldom_weigh_more():
    real, made = torch.eye(2)[torch.tensor([[0, 0, 1, 1]])], torch.eye(2)[torch.tensor([[0, 0, 0, 0]])]
    # (2 + 1) / (4 + 1) and (2 + 1) / (0 + 1) times as common
    weighted = balanced(torch.full((1, 1, 2), 0.5), made, real, 1.0)[0, 0]
    assert torch.allclose(weighted, torch.tensor([0.6, 3.0]) / 3.6)
    assert torch.allclose(balanced(torch.tensor([[[0.2, 0.8]]]), made, real, 0.0)[0, 0], torch.tensor([0.2, 0.8]))


@pytest.mark.parametrize(("damping", "early", "learns"), [(0.0, 0.0, False), (1.0, 0.0, True), (0.0, 0.5, True)])
def test_earlier_networks_learn_by_the_gradient_of_later_ones_or_by_their_own_guesses(damping, early, learns):
    student = moved(student_of(normal_teacher(), stages=2, damping=damping, early=early, anchor=0.0)).at(3)
    student.loss(cloud(3, 8, 0), generator=generator(9)).mean().backward()
    reached = [any(p.grad is not None and bool(p.grad.any()) for p in flow.parameters()) for flow in student.flows]
    assert reached == [learns, True]


def test_the_teacher_is_neither_trained_nor_saved(tmp_path):
    teacher = normal_teacher()
    student = moved(student_of(teacher, stages=2))
    student.at(3).loss(cloud(3, 8, 0), generator=generator(9)).mean().backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert not any("teacher" in name for name in student.state_dict())
    save_model(tmp_path / "model", student)
    loaded = mg.load(tmp_path / "model")
    first, second = (m.sample(9, generator=generator(2)).x for m in (student, loaded))
    assert torch.equal(first, second)


def test_what_does_not_go_together_is_refused():
    teacher = normal_teacher()
    with pytest.raises(UsageError, match=r"a family of FlowMatching was given, expected EndpointFlow$"):
        settle(models.build(FlowMatching, CLOUDS, width=8, depth=1), student_of(teacher))
    with pytest.raises(UsageError, match="given, expected EndpointFlow or SettledFlow"):
        settle(teacher, student_of(teacher), models.build(FlowMatching, CLOUDS, width=8, depth=1))
    with pytest.raises(UsageError, match="the student's networks differ"):
        settle(teacher, models.build(SettledFlow, CLOUDS, **{**SIZE, "width": 24}))
    alone = SettledFlow(PointCloud(3, 2), **SIZE)
    with pytest.raises(UsageError, match="learns from a teacher"):
        alone.loss(cloud(3, 2, 0)[..., :2])
    with pytest.raises(UsageError, match="n must be 0 or more"):
        alone.sample(-1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": 0}, "stages is 0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"earliest": 0.9, "latest": 0.8}, "earliest = 0.9 to latest = 0.8"),
        ({"latest": 1.0}, "earliest = 0.86 to latest = 1.0"),
        ({"mend_rounds": 0}, "mend_rounds is 0"),
        ({"rounds": 4, "mend_rounds": 3}, "rounds is 4, expected at most mend_rounds, 3"),
        ({"mend_earliest": 0.8}, "mend_earliest = 0.8 to mend_latest = 0.7"),
        ({"damping": 2}, "damping is 2"),
        ({"early": 2}, "early is 2"),
        ({"anchor": 2}, "anchor is 2"),
        ({"balance": -1}, "balance is -1"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"features": "continuous"}, "one-hot features alone"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        SettledFlow(PointCloud(3, 2, 2), **SIZE, **options)
