"""Orthogonal steps for hidden layers."""

import pytest
import torch

from manifold_gen import seeds
from manifold_gen.training.muon import RELATIVE_RATE, Muon, orthogonalise


def test_every_singular_direction_moves_about_equally_far():
    generator = seeds.generator(0)
    frame = torch.linalg.qr(torch.randn(4, 16, 16, generator=generator)).Q
    spread = torch.logspace(-1, 1, 16)
    values = torch.linalg.svdvals(orthogonalise(frame * spread @ frame[0]))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_the_singular_directions_are_those_of_the_gradient():
    left, right = (torch.linalg.qr(torch.randn(8, 8, generator=seeds.generator(k))).Q for k in (1, 2))
    middle = left.mT @ orthogonalise((left * torch.linspace(1, 3, 8) @ right)[None])[0] @ right.mT
    torch.testing.assert_close(middle, torch.diag(middle.diag()), rtol=0, atol=1e-5)


def test_only_square_matrices_take_orthogonal_steps():
    square, oblong, bias = (torch.nn.Parameter(torch.zeros(*size)) for size in ((6, 6), (6, 3), (6,)))
    optimiser = Muon([square, oblong, bias], lr=0.1, betas=(0.9, 0.99), weight_decay=0.0)
    for parameter in (square, oblong, bias):
        parameter.grad = torch.randn(parameter.shape, generator=seeds.generator(3))
    optimiser.step()
    expected = -RELATIVE_RATE * 0.1 * orthogonalise(square.grad[None])[0]
    torch.testing.assert_close(square.detach(), expected, rtol=1e-4, atol=1e-6)
    for parameter in (oblong, bias):  # the first step of Adam is lr times the sign
        torch.testing.assert_close(parameter.detach(), -0.1 * parameter.grad.sign(), rtol=1e-4, atol=1e-6)


def test_weight_decay_spares_vectors():
    parameters = [torch.nn.Parameter(torch.ones(*size)) for size in ((2, 2), (3, 2), (3,))]
    optimiser = Muon(parameters, lr=0.5, betas=(0.9, 0.99), weight_decay=0.2)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert [float(parameter.detach().flatten()[0]) for parameter in parameters] == pytest.approx([0.9, 0.9, 1.0])
