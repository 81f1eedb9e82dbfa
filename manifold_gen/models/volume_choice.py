r"""Which volume change a free-form flow is trained through.

With a probe v, :math:`c = \langle v, (Df(x)\,Dg(z) - 1)\,v\rangle_z` says by how much the encoder f and the decoder g
fail to be inverse. Where c > 0 the side that restores is the decoder's, −log|det Dg(z)|, whose estimate rises as c
falls; elsewhere it is the encoder's, log|det Df(x)|, whose estimate rises with c. So the likelihood holds the pair
together, and in equal time it is learned further than through the encoder's exact volume: validation points on S²,
SO(3), H² and R² are 0.02 to 0.24 nats likelier, on T⁵ 0.03 and on T⁷ 0.75. Not on T² and T³, where they are up to 0.011
nats less likely (experiments/volumes.jsonl).
"""

from __future__ import annotations

from manifold_gen.errors import UsageError
from manifold_gen.manifolds.base import Manifold

CHOSEN = ("conditional", "restoring")  # of the encoder's or the decoder's side, for each probe
ESTIMATES = ("surrogate", *CHOSEN)
VOLUMES = ("auto", *ESTIMATES, "exact", "exact_encoder", "inverse")
# Dimensions where "auto" takes the side that restores: on tori, and elsewhere, where more were not measured.
RESTORING_ON_TORI, RESTORING_ELSEWHERE = range(4, 9), range(1, 4)
# Dimensions up to which it takes the encoder's exact volume. On T⁷ that was learned 2.5 nats further than the
# surrogate in half the processor time (experiments/distillation.jsonl).
LARGEST_EXACT_DIM = 8


def choose_volume(volume: str, manifold: Manifold, inverse_up_to: int = 0) -> str:
    """``volume``, where it is not ``"auto"``; else the one that was learned furthest in the same time.

    Args:
        volume: one of ``VOLUMES``.
        manifold: where the flow lives; ``symmetry`` tells clouds of points, ``period`` tori.
        inverse_up_to: dimension up to which ``"auto"`` is the volume at the solved latent, for flows that begin near
            the data.

    Raises:
        UsageError: an unknown ``volume``, or on clouds a side for each probe.

    Example:
        >>> from manifold_gen.manifolds import from_spec
        >>> [choose_volume("auto", from_spec(spec)) for spec in ("sphere:2", "torus:2", "torus:7", "torus:9")]
        ['restoring', 'exact_encoder', 'restoring', 'surrogate']
    """
    if volume not in VOLUMES:
        raise UsageError(f"volume is {volume!r}; expected one of {', '.join(VOLUMES)}")
    clouds = manifold.symmetry == "euclidean"
    if volume in CHOSEN and clouds:
        raise UsageError(
            f"volume is {volume!r}, which needs derivatives that networks on clouds of points do not offer; choose "
            "'surrogate' or 'auto' there"
        )
    if volume != "auto":
        return volume
    if manifold.dim <= inverse_up_to:
        return "inverse"
    dims = RESTORING_ELSEWHERE if manifold.period is None else RESTORING_ON_TORI
    if not clouds and manifold.dim in dims:
        return "restoring"
    return "exact_encoder" if manifold.dim <= LARGEST_EXACT_DIM else "surrogate"
