"""What a model is conditioned on, as the vector its networks see."""

from __future__ import annotations

from torch import Tensor, nn

from manifold_gen.errors import UsageError

EMBEDDING = 16


class ContextEmbedding(nn.Module):
    """A continuous vector ``(n, c)`` as it is, category numbers ``(n,)`` through an embedding, or nothing.

    Args:
        features: c, 0 where the context is not continuous.
        categories: number of categories, 0 where the context is not categorical.

    Raises:
        UsageError: both are asked for, or a call's context does not fit.

    Example:
        >>> import torch
        >>> ContextEmbedding(0, 3)(torch.tensor([0, 2])).shape
        torch.Size([2, 16])
    """

    def __init__(self, features: int = 0, categories: int = 0) -> None:
        super().__init__()
        if features and categories:
            raise UsageError("a context is continuous or categorical: give context_features or context_categories")
        self.features, self.categories = features, categories
        self.out_features = EMBEDDING if categories else features
        self.table = nn.Embedding(categories, EMBEDDING) if categories else None

    def forward(self, context: Tensor | None) -> Tensor | None:
        """The vectors ``(n, out_features)`` of ``context``; ``None`` for a model without one."""
        if context is None and self.out_features:
            raise UsageError(f"this model needs a context ({self._expected()}), got none")
        if context is not None and not self.out_features:
            raise UsageError(f"this model takes no context, got one of shape {tuple(context.shape)}")
        if context is None:
            return None
        if self.table is not None:
            return self.table(self._checked(context))
        if context.shape[-1] != self.features:
            raise UsageError(f"the context has shape {tuple(context.shape)}, expected {self._expected()}")
        return context

    def _checked(self, context: Tensor) -> Tensor:
        numbers = context.squeeze(-1) if context.dim() > 1 else context
        if context.is_floating_point() or bool(((numbers < 0) | (numbers >= self.categories)).any()):
            raise UsageError(
                f"the context must be {self._expected()}, got {context.dtype} up to {context.max().item()}"
            )
        return numbers

    def _expected(self) -> str:
        if self.categories:
            return f"whole numbers from 0 to {self.categories - 1}"
        return f"(n, {self.features}) numbers"
