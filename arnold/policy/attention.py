"""Multi-head attention, written for the machine that has no accelerator as well.

The parameters and the mathematics are those of ``torch.nn.MultiheadAttention``. Two things are done differently, both exact:

* On a CPU the product is written out with its own backward pass. XLA's automatic one transposes the (B, heads, Q, K) array of
  probabilities, which costs more than all four products together; ``jax.nn.dot_product_attention`` does so even forwards
  (``arnold bench policy`` measures the difference). On an accelerator ``jax.nn.dot_product_attention`` is called.
* Few queries that read many tokens (latents, the value query) never project the tokens to keys and values: the query goes through the
  transposed key weights instead, and the weighted sum of the tokens through the value weights. The products are the
  same, in another order; see :func:`reads_without_projecting`.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import nnx
