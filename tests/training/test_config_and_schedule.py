"""Settings and the learning rate."""

import pytest

from manifold_gen.errors import UsageError
from manifold_gen.training import TrainingConfig
from manifold_gen.training.schedule import learning_rate


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("steps", 0, "at least 1"),
        ("steps", 10.5, "a whole number"),
        ("batch_size", -1, "at least 1"),
        ("lr", 0.0, "above 0"),
        ("lr", float("nan"), "a finite number"),
        ("schedule", "linear", "one of one-cycle, cosine, constant"),
        ("precision", "float16", "one of auto"),
        ("ema_decay", 1.0, r"in \[0, 1\)"),
        ("betas", (0.9, 1.5), "two numbers"),
        ("warmup", 10**9, "between 0 and steps"),
        ("patience", -1, "0 or more"),
    ],
)
def test_a_bad_value_is_named(field, value, expected):
    with pytest.raises(UsageError, match=rf"training\.{field} is .*expected {expected}"):
        TrainingConfig(**{field: value})


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_schedules_rise_to_lr_and_fall_to_their_end(schedule):
    config = TrainingConfig(steps=1000, lr=0.5, schedule=schedule, warmup=100, lr_end=0.01)
    rates = [learning_rate(config, step) for step in range(1000)]
    assert rates[:100] == sorted(rates[:100])
    assert rates[0] < 0.1 * 0.5
    assert max(rates) == rates[100] == 0.5
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(0.5 if schedule == "constant" else 0.005)


@pytest.mark.parametrize("steps", [1, 2, 3, 11])
def test_short_runs_have_positive_rates(steps):
    for schedule in ("one-cycle", "cosine", "constant"):
        config = TrainingConfig(steps=steps, schedule=schedule)
        assert all(0 < learning_rate(config, step) <= config.lr for step in range(steps))
