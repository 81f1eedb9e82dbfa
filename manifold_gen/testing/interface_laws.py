"""Laws of shapes, batches, precision, devices and random draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from manifold_gen.errors import CutLocusError
from manifold_gen.manifolds.base import Manifold
from manifold_gen.testing.laws import Setting, law

_Map = Callable[..., Tensor]


def _maps(m: Manifold) -> dict[str, tuple[_Map, str]]:
    """Every map with the arguments it takes: x, y points; u, v tangent at x."""
    return {
        "projx": (m.projx, "x"),
        "proju": (m.proju, "xu"),
        "expmap": (m.expmap, "xu"),
        "retr": (m.retr, "xu"),
        "logmap": (m.logmap, "xy"),
        "dist": (m.dist, "xy"),
        "dist2": (m.dist2, "xy"),
        "inner": (m.inner, "xuv"),
        "norm": (m.norm, "xu"),
        "transp": (m.transp, "xyu"),
        "egrad2rgrad": (m.egrad2rgrad, "xu"),
        "embed": (m.embed, "x"),
        "unembed": (lambda x: m.unembed(m.embed(x)), "x"),
        "wave_coordinates": (m.wave_coordinates, "x"),
        "tangent_basis": (m.tangent_basis, "x"),
        "to_coordinates": (m.to_coordinates, "xu"),
        "from_coordinates": (lambda x, u: m.from_coordinates(x, m.to_coordinates(x, u)), "xu"),
        "log_sqrt_det_metric": (m.log_sqrt_det_metric, "x"),
        "log_det_exp": (m.log_det_exp, "xu"),
    }


def _arguments(s: Setting, count: int) -> dict[str, Tensor]:
    x = s.points(count)
    u = 0.5 * s.steps(x)
    return {"x": x, "y": s.manifold.expmap(x, 0.5 * s.steps(x)), "u": u, "v": s.tangents(x)}


@law
def batch_shapes_agree_with_a_loop(s: Setting) -> None:
    """Every map gives for batches (), (2, 3) and (0,) what it gives point by point for (6,), and so does vmap."""
    given = _arguments(s, 6)
    shape = s.manifold.shape
    for name, (function, takes) in _maps(s.manifold).items():
        arguments = [given[key] for key in takes]
        flat = function(*arguments)
        looped = torch.stack([function(*(a[i] for a in arguments)) for i in range(6)])
        s.close(flat, looped, f"{name} of a batch against a loop", scale=10)
        block = function(*(a.reshape(2, 3, *shape) for a in arguments))
        s.close(block, flat.reshape(2, 3, *flat.shape[1:]), f"{name} of a (2, 3) batch", scale=10)
        empty = function(*(a[:0] for a in arguments))
        assert empty.shape == (0, *flat.shape[1:]), f"{name} of an empty batch has shape {tuple(empty.shape)}"
        mapped = torch.func.vmap(function)(*arguments)
        s.close(mapped, flat, f"vmap of {name}", scale=10)


@law
def forward_and_reverse_mode_agree(s: Setting) -> None:
    """⟨w, J v⟩ = ⟨Jᵀ w, v⟩ for the differentiable maps, and a second derivative is finite."""
    m, given = s.manifold, _arguments(s, 5)
    for name in (
        "projx",
        "proju",
        "expmap",
        "logmap",
        "dist",
        "dist2",
        "norm",
        "transp",
        "embed",
        "unembed",
        "log_det_exp",
    ):
        function, takes = _maps(m)[name]
        arguments = tuple(given[key] for key in takes)
        tangents = tuple(s.ambient(a) for a in arguments)
        out, forward = torch.func.jvp(function, arguments, tangents)
        weight = torch.randn(out.shape, generator=s.generator, dtype=s.dtype, device=s.device)
        reverse = torch.func.vjp(function, *arguments)[1](weight)
        got = sum((r * t).sum() for r, t in zip(reverse, tangents, strict=True))
        scale = 10 * (1 + float((weight * forward).abs().sum()))
        s.close(got, (weight * forward).sum(), f"reverse against forward mode of {name}", kind="gradient", scale=scale)

        def slope(a: Tensor, f: _Map = function, rest: tuple[Tensor, ...] = arguments[1:]) -> Tensor:
            return torch.func.grad(lambda b: f(b, *rest).square().sum())(a)

        bend = torch.func.grad(lambda a, f=slope: f(a).sum())(arguments[0])
        assert bool(torch.isfinite(bend).all()), f"the second derivative of {name} is not finite"


@law
def dtype_and_device_are_kept(s: Setting) -> None:
    """Maps and draws follow the dtype and device of their input; half precision comes back as half precision."""
    m, given = s.manifold, _arguments(s, 4)
    for name, (function, takes) in _maps(m).items():
        for dtype in (s.dtype, torch.bfloat16, torch.float16):
            out = function(*(given[key].to(dtype) for key in takes))
            assert out.dtype == dtype, f"{name} returns {out.dtype} for {dtype}"
            assert out.device.type == s.device.type, f"{name} returns a tensor on {out.device}"
    half = {key: value.bfloat16() for key, value in given.items()}
    wide = m.dist(half["x"].float(), half["y"].float()).bfloat16()
    assert torch.equal(m.dist(half["x"], half["y"]), wide), "bfloat16 distances are not float32 ones rounded"


@law
def draws_follow_the_generator(s: Setting) -> None:
    """``size`` counts batch dimensions, one generator state gives one answer, and the global state is untouched."""
    m, options = s.manifold, {"dtype": s.dtype, "device": s.device}
    for size in ((), (3,), (2, 3)):
        assert m.origin(*size, **options).shape == (*size, *m.shape), f"origin{size} has a wrong shape"
    before = torch.random.get_rng_state()
    x = s.points(3)
    draws: list[Callable[[torch.Generator], Tensor]] = [lambda g: m.random_tangent(x, generator=g)]
    if math.isfinite(m.log_volume):
        draws.append(lambda g: m.random_uniform(2, 3, generator=g, **options))
        assert draws[-1](torch.Generator(s.device)).shape == (2, 3, *m.shape), "random_uniform(2, 3) has a wrong shape"
    for draw in draws:
        one, two = (draw(torch.Generator(s.device).manual_seed(s.seed)) for _ in range(2))
        assert torch.equal(one, two), "two draws from one generator state differ"
    m.wave_vectors(2.0, 8, generator=torch.Generator().manual_seed(s.seed))
    assert torch.equal(before, torch.random.get_rng_state()), "a draw touched the global random state"


@law
def cut_locus_is_reported(s: Setting) -> None:
    """at_cut_locus is False for close pairs, and checked_logmap agrees with logmap there."""
    m, given = s.manifold, _arguments(s, 6)
    cut = m.at_cut_locus(given["x"], given["y"])
    assert cut.shape == (6,), f"at_cut_locus has shape {tuple(cut.shape)}"
    assert cut.dtype == torch.bool, f"at_cut_locus returns {cut.dtype}"
    assert not bool(cut.any()), f"{int(cut.sum())} of 6 pairs well inside the injectivity radius are reported as cut"
    try:
        got = m.checked_logmap(given["x"], given["y"])
    except CutLocusError as error:
        raise AssertionError(f"checked_logmap refuses good pairs: {error}") from error
    assert torch.equal(got, m.logmap(given["x"], given["y"])), "checked_logmap differs from logmap"


@law
def wave_vectors_have_the_declared_shape(s: Setting) -> None:
    """Wave vectors match wave_coordinates, and their waves do not depend on how a point is written."""
    m, x = s.manifold, s.points(8)
    waves = m.wave_vectors(3.0, 12, generator=torch.Generator().manual_seed(s.seed))
    coordinates = m.wave_coordinates(x)
    assert waves.shape[1] == coordinates.shape[-1], f"{waves.shape[1]} against {coordinates.shape[-1]} coordinates"
    assert waves.shape[0] > 0, "no wave vector"
    phase = coordinates @ waves.to(coordinates).mT
    again = m.wave_coordinates(m.projx(m.unembed(m.embed(x)))) @ waves.to(coordinates).mT
    s.close(torch.cos(again), torch.cos(phase), "waves of a point written twice", scale=100)
