"""The transformer layers against PyTorch's own, number by number, and the attention product against plain algebra."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from arnold.policy.attention import Attention, dot_product, product_of_heads, reads_unprojected, share_rows
from arnold.policy.initialise import Draws
from arnold.policy.layers import DecoderLayer, DecoderStack, EncoderLayer, EncoderStack

pytestmark = pytest.mark.unit

WIDTH, HEADS, HIDDEN = 24, 4, 40
MANY, FEW = 11, 2  # queries on either side of the choice in reads_unprojected


def _normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def _randomised(module: nnx.Module, seed: int) -> nnx.Module:
    """The module with every parameter random, biases and norms too, so that none can be mistaken for another."""
    graph, state = nnx.split(module)
    leaves, tree = jax.tree.flatten(state)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    drawn = [0.3 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return nnx.merge(graph, jax.tree.unflatten(tree, drawn))


def _to_torch(array: jax.Array):
    torch = pytest.importorskip("torch")
    return torch.tensor(np.asarray(array))


def _attention_weights(name: str, attention: Attention) -> dict:
    return {
        f"{name}.in_proj_weight": _to_torch(attention.in_projection.kernel.T),
        f"{name}.in_proj_bias": _to_torch(attention.in_projection.bias[...]),
        f"{name}.out_proj.weight": _to_torch(attention.out_projection.kernel.T),
        f"{name}.out_proj.bias": _to_torch(attention.out_projection.bias[...]),
    }


def _other_weights(layer: EncoderLayer | DecoderLayer, norms: dict) -> dict:
    weights = {}
    for name, norm in norms.items():
        weights |= {f"{name}.weight": _to_torch(norm.scale[...]), f"{name}.bias": _to_torch(norm.bias[...])}
    for name, linear in (("linear1", layer.feedforward.expand), ("linear2", layer.feedforward.contract)):
        weights |= {f"{name}.weight": _to_torch(linear.kernel.T), f"{name}.bias": _to_torch(linear.bias[...])}
    return weights


def _torch_options() -> dict:
    return {"dropout": 0.0, "activation": "relu", "batch_first": True, "norm_first": True}


def _torch_encoder(layer: EncoderLayer):
    torch = pytest.importorskip("torch")
    peer = torch.nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, **_torch_options())
    norms = {"norm1": layer.attention_norm, "norm2": layer.feedforward_norm}
    peer.load_state_dict(_attention_weights("self_attn", layer.attention) | _other_weights(layer, norms))
    return peer


def _torch_decoder(layer: DecoderLayer):
    torch = pytest.importorskip("torch")
    peer = torch.nn.TransformerDecoderLayer(WIDTH, HEADS, HIDDEN, **_torch_options())
    norms = {"norm1": layer.self_norm, "norm2": layer.memory_norm, "norm3": layer.feedforward_norm}
    weights = _attention_weights("self_attn", layer.self_attention) | _other_weights(layer, norms)
    peer.load_state_dict(weights | _attention_weights("multihead_attn", layer.memory_attention))
    return peer


def _encoder_layer() -> EncoderLayer:
    return _randomised(EncoderLayer(WIDTH, HEADS, HIDDEN, Draws(0)), 1)


def _decoder_layer(self_attention: bool = True) -> DecoderLayer:
    return _randomised(DecoderLayer(WIDTH, HEADS, HIDDEN, self_attention, Draws(0)), 2)


def test_encoder_layer_agrees_with_torch_in_value_and_input_gradient():
    layer, x, weight = _encoder_layer(), _normal(3, 3, 7, WIDTH), _normal(4, 3, 7, WIDTH)
    got, pull_back = jax.vjp(jax.jit(layer.__call__), x)
    gradient = pull_back(weight)[0]

    x_peer = _to_torch(x).requires_grad_()
    output = _torch_encoder(layer)(x_peer)
    (output * _to_torch(weight)).sum().backward()
    np.testing.assert_allclose(got, output.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(gradient, x_peer.grad.numpy(), atol=2e-5)


@pytest.mark.parametrize("queries", [1, FEW, MANY])
def test_decoder_layer_agrees_with_torch_in_value_and_input_gradients(queries):
    layer, x, memory = _decoder_layer(), _normal(3, 3, queries, WIDTH), _normal(4, 3, 9, WIDTH)
    weight = _normal(5, 3, queries, WIDTH)
    got, pull_back = jax.vjp(jax.jit(layer.__call__), x, memory)
    gradients = pull_back(weight)

    x_peer, memory_peer = _to_torch(x).requires_grad_(), _to_torch(memory).requires_grad_()
    output = _torch_decoder(layer)(x_peer, memory_peer)
    (output * _to_torch(weight)).sum().backward()
    np.testing.assert_allclose(got, output.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(gradients[0], x_peer.grad.numpy(), atol=2e-5)
    np.testing.assert_allclose(gradients[1], memory_peer.grad.numpy(), atol=2e-5)


def test_the_two_numbers_of_queries_take_the_two_ways_to_read():
    assert reads_unprojected(FEW, WIDTH, HEADS)
    assert not reads_unprojected(MANY, WIDTH, HEADS)


def test_decoder_layer_agrees_with_torch_in_every_weight_gradient():
    layer, x, memory = _decoder_layer(), _normal(3, 3, FEW, WIDTH), _normal(4, 3, 9, WIDTH)
    graph, state = nnx.split(layer)
    gradient = jax.jit(jax.grad(lambda state: jnp.square(nnx.merge(graph, state)(x, memory)).sum()))(state)
    got = nnx.merge(graph, gradient)

    peer = _torch_decoder(layer)
    peer(_to_torch(x), _to_torch(memory)).square().sum().backward()
    for ours, theirs in ((got.self_attention, peer.self_attn), (got.memory_attention, peer.multihead_attn)):
        expected = theirs.in_proj_weight.grad.numpy().T
        np.testing.assert_allclose(ours.in_projection.kernel[...], expected, rtol=1e-4, atol=2e-3)
        expected = theirs.in_proj_bias.grad.numpy()
        np.testing.assert_allclose(ours.in_projection.bias[...], expected, rtol=1e-4, atol=2e-3)
    expected = peer.linear1.weight.grad.numpy().T
    np.testing.assert_allclose(got.feedforward.expand.kernel[...], expected, rtol=1e-4, atol=2e-3)
    np.testing.assert_allclose(got.memory_norm.scale[...], peer.norm2.weight.grad.numpy(), rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("queries", [FEW, MANY])
def test_queries_shared_by_rows_give_what_repeated_queries_give(queries):
    layer, memory = _decoder_layer(), _normal(4, 6, 9, WIDTH)
    shared = _normal(3, 2, queries, WIDTH)
    apply = jax.jit(layer.__call__)
    np.testing.assert_allclose(apply(shared, memory), apply(jnp.repeat(shared, 3, axis=0), memory), atol=1e-5)


def test_shared_rows_are_consecutive():
    x = jnp.arange(2.0).reshape(2, 1, 1)
    assert share_rows(x, 6)[:, 0, 0].tolist() == [0, 0, 0, 1, 1, 1]


def test_without_self_attention_a_query_does_not_see_the_others():
    layer, memory, x = _decoder_layer(self_attention=False), _normal(4, 2, 9, WIDTH), _normal(3, 2, MANY, WIDTH)
    changed = x.at[:, 1:].set(0.0)
    blind, seeing = jax.jit(layer.__call__), jax.jit(_decoder_layer().__call__)
    np.testing.assert_allclose(blind(x, memory)[:, 0], blind(changed, memory)[:, 0], atol=1e-6)
    assert float(jnp.abs(seeing(x, memory)[:, 0] - seeing(changed, memory)[:, 0]).max()) > 1e-3


def test_the_attention_product_agrees_with_jax_in_value_and_gradients():
    query, key, value = _normal(1, 2, 5, HEADS, 6), _normal(2, 2, 8, HEADS, 6), _normal(3, 2, 8, HEADS, 6)
    np.testing.assert_allclose(
        dot_product(query, key, value), jax.nn.dot_product_attention(query, key, value), atol=1e-5
    )

    def loss(attend):
        total = jax.jit(lambda *arrays: jnp.square(attend(*arrays)).sum())
        return jax.jit(jax.grad(total, argnums=(0, 1, 2)))(query, key, value)

    for ours, theirs in zip(loss(dot_product), loss(jax.nn.dot_product_attention), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_the_attention_product_does_not_overflow_on_large_scores():
    query = jnp.full((1, 1, 2, 3), 100.0)
    assert bool(jnp.isfinite(product_of_heads(query, query, query)).all())


def test_an_encoder_stack_applies_its_layers_in_order_and_then_the_norm():
    stack, x = _randomised(EncoderStack(WIDTH, HEADS, HIDDEN, 3, Draws(0)), 5), _normal(3, 2, 7, WIDTH)
    graph, state = nnx.split(stack.layers)
    expected = x
    one = jax.jit(lambda state, place, x: nnx.merge(graph, jax.tree.map(lambda leaf: leaf[place], state))(x))
    for place in range(3):
        expected = one(state, place, expected)
    np.testing.assert_allclose(jax.jit(stack.__call__)(x), stack.norm(expected), atol=1e-5)


def test_a_decoder_stack_applies_its_layers_in_order():
    stack = _randomised(DecoderStack(WIDTH, HEADS, HIDDEN, 3, True, Draws(0)), 6)
    x, memory = _normal(3, 2, MANY, WIDTH), _normal(4, 2, 9, WIDTH)
    graph, state = nnx.split(stack.layers)
    expected = x
    one = jax.jit(lambda state, place, x: nnx.merge(graph, jax.tree.map(lambda leaf: leaf[place], state))(x, memory))
    for place in range(3):
        expected = one(state, place, expected)
    np.testing.assert_allclose(jax.jit(stack.__call__)(x, memory), expected, atol=1e-5)


def test_the_layers_of_a_stack_start_from_different_weights():
    stack = EncoderStack(WIDTH, HEADS, HIDDEN, 2, Draws(0))
    kernel = stack.layers.feedforward.expand.kernel[...]
    assert float(jnp.abs(kernel[0] - kernel[1]).max()) > 0.1
