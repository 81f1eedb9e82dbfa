"""Splits of clouds of different sizes: every cloud as often as any other, every batch of one size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from manifold_gen.data.ragged import RaggedSplit
from manifold_gen.errors import DataError
from manifold_gen.manifolds.point_clouds import PointClouds


def split_of(sizes, context=None):
    """Clouds whose every number tells which cloud it is in."""
    return RaggedSplit.join([torch.full((n, 4), float(i)) for i, n in enumerate(sizes)], context)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 6), min_size=1, max_size=40), st.integers(1, 7), st.integers(0, 3))
def test_batches_have_one_size_and_no_cloud_twice(sizes, size, epoch):
    split = split_of(sizes)
    batches = split.batch_index(0, epoch, size)
    assert len(batches) == split.batch_count(size)
    for index in batches:
        x = split.batch(index).x
        assert len(index) == len(index.unique()) == min(size, sizes.count(sizes[int(index[0])]))
        assert x.shape == (len(index), sizes[int(index[0])], 4)
        assert torch.equal(x[:, 0, 0].long(), index)
    assert sorted(torch.cat(split.parts(size)).tolist()) == list(range(len(sizes)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(2, 6), min_size=1, max_size=40), st.integers(1, 7), st.integers(0, 3))
def test_a_size_gets_the_batches_that_its_clouds_ask_for(sizes, size, epoch):
    split = split_of(sizes)
    batches = split.batch_index(0, epoch, size)
    for n in set(sizes):
        asked = sizes.count(n) * len(batches) / len(sizes)
        assert abs(sum(sizes[int(index[0])] == n for index in batches) - asked) < 1


def test_every_cloud_weighs_the_same_in_the_mean_over_batches():
    # 4000 epochs: the weight of a cloud of the rarest size has a standard error of 0.04
    sizes, weight = [2] * 5 + [3] * 50 + [4] * 17 + [5], torch.zeros(73)
    split = split_of(sizes)
    for epoch in range(4000):
        batches = split.batch_index(0, epoch, 8)
        for index in batches:
            weight[index] += 73 / (4000 * len(batches) * len(index))
    assert bool((weight - 1).abs().max() < 0.2)


def test_of_one_size_an_epoch_is_a_walk_through_the_clouds():
    split = split_of([3] * 24)
    assert sorted(torch.cat(split.batch_index(0, 1, 8)).tolist()) == list(range(24))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(1, 4))
def test_a_batch_is_shared_equally_and_keeps_what_it_can(count, processes):
    index = torch.arange(count) + 5
    shared = split_of([2]).shared(index, processes)
    assert len(shared) % processes == 0
    if count >= processes:
        assert torch.equal(shared, index[: len(shared)])
        assert count - len(shared) < processes
    else:
        assert len(shared) == processes
        assert set(shared.tolist()) == set(index.tolist())


def test_the_order_changes_with_the_epoch_and_not_with_the_call():
    split = split_of([2, 3] * 50)
    first, again, other = (split.batch_index(0, epoch, 8) for epoch in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True) if len(a) == len(b))


def test_take_keeps_clouds_and_context_together():
    split = split_of([2, 5, 3], torch.arange(3.0).unsqueeze(-1))
    some = split.take(torch.tensor([2, 0]))
    assert [cloud[0, 0].item() for cloud in some.clouds] == [2.0, 0.0]
    assert some.context.flatten().tolist() == [2.0, 0.0]
    assert some.to(dtype=torch.float64).x.dtype == torch.float64


def test_a_batch_of_two_sizes_is_refused():
    with pytest.raises(DataError, match=r"\[2, 3\] points"):
        split_of([2, 3]).batch(torch.tensor([0, 1]))


def test_sizes_that_do_not_add_up_are_refused():
    with pytest.raises(DataError, match="add up to 3 points, x has 4 rows"):
        RaggedSplit(torch.zeros(4, 2), sizes=torch.tensor([3]))


def test_shapes_are_checked_against_the_family():
    with pytest.raises(DataError, match=r"clouds:3,2 expects \(5,\)"):
        split_of([2, 3]).check_shape(PointClouds(3, 2), "train")
    with pytest.raises(DataError, match="1 clouds have fewer than two points, the first is number 1"):
        split_of([2, 1]).check_shape(PointClouds(3, 1), "train")


def test_a_cloud_with_a_hole_in_it_is_found():
    split = split_of([2, 3, 2])
    split.x[3, 1] = torch.nan
    assert split.row_values().isfinite().all(1).tolist() == [True, False, True]
