"""Sweeps that train in seconds, on a corpus named "words": a declaration, and a sweep file."""

DECLARATION = {
    "name": "tiny",
    "size": "small",
    "matching": "parameter_matched",
    "data": {"corpus": "words", "tokenizer": {"kind": "byte"}},
    "model": {"d_model": 16, "n_layers": 1, "seq_len": 8},
    "training": {
        "n_steps": 4,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "clip_norm": 0.5,
        "validate_every": 2,
        "checkpoint_every": 2,
        "log_every": 1,
        "precision": "fp32",
    },
    "baseline": {"n_heads": 4, "d_head": 8, "d_ff": 32, "seeds": [0, 1]},
    "models": [{"kind": "dense", "name": "two-heads", "n_heads": 2}],
}
SWEEP = """
name = "tiny"
summary = "a small one"
matching = "parameter_matched"
[data]
corpus = "words"
tokenizer = { kind = "byte" }
[model]
d_model = 16
n_layers = 1
seq_len = 8
[training]
n_steps = 4
batch_size = 8
learning_rate = 3e-3
clip_norm = 0.5
validate_every = 2
checkpoint_every = 2
log_every = 1
precision = "fp32"
[baseline]
n_heads = 4
d_head = 8
d_ff = 32
[[models]]
kind = "dense"
name = "two-heads"
n_heads = 2
[[studies]]
model = { kind = "switchhead" }
n_trials = 2
n_startup_trials = 1
[studies.space]
n_heads = [1, 2]
n_experts = [2, 3]
top_k = [1, 2]
[sizes.small]
"""

_SHORTEST = """
name = "tiny"
matching = "parameter_matched"
data = {{ corpus = "words", tokenizer = {{ kind = "byte" }} }}
model = {{ d_model = 16, n_layers = 1, seq_len = 8 }}
baseline = {{ n_heads = 4, d_head = 8, d_ff = 32 }}
[training]
n_steps = {n_steps}
batch_size = {batch_size}
learning_rate = 3e-3
clip_norm = 0.5
validate_every = {n_steps}
checkpoint_every = {n_steps}
precision = "fp32"
{further}
[sizes.small]
"""


def shortest_sweep(further: str, n_steps: int, batch_size: int = 8) -> str:
    """Return a sweep file of a dense baseline with one seed and what `further` declares."""
    return _SHORTEST.format(further=further, n_steps=n_steps, batch_size=batch_size)
