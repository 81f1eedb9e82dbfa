"""Splits: batches are a pure function of seed and epoch, and rows keep their context."""

import torch

from manifold_gen.data import Split


def rows(count=103):
    x = torch.arange(count, dtype=torch.float32).unsqueeze(-1)
    return Split(x, x.long() * 2)


def test_batches_visit_every_row_at_most_once_and_have_one_size():
    batches = list(rows().batches(seed=3, epoch=0, size=10))
    assert [len(batch) for batch in batches] == [10] * 10
    seen = torch.cat([batch.x for batch in batches]).flatten()
    assert len(seen.unique()) == 100
    assert all(torch.equal(batch.context.float(), batch.x * 2) for batch in batches)


def test_batches_depend_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return torch.cat(rows().batch_index(seed, epoch, 10))

    assert torch.equal(order(0, 1), order(0, 1))
    assert not torch.equal(order(0, 1), order(0, 2))
    assert not torch.equal(order(0, 1), order(1, 1))


def test_a_batch_larger_than_the_set_is_the_set():
    (batch,) = rows(7).batches(seed=0, epoch=0, size=100)
    assert sorted(batch.x.flatten().tolist()) == list(range(7))


def test_conversion_keeps_categories_whole():
    double = rows().to(dtype=torch.float64)
    assert double.x.dtype == torch.float64
    assert double.context.dtype == torch.int64
    assert Split(double.x, double.x).to(dtype=torch.float32).context.dtype == torch.float32
    assert rows().to(dtype=torch.float64).take(torch.tensor([4])).x.tolist() == [[4.0]]
