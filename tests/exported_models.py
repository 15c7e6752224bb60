"""Models and a text for tests of exports."""

from typing import Any

TRAINING = {"n_steps": 2, "n_warmup_steps": 0, "validate_every": 2, "checkpoint_every": 1}
ROPE = {"kind": "rope", "rotate_fraction": 0.5, "base": 10_000.0}
SWITCHHEAD = {"kind": "switchhead", "n_heads": 2, "d_head": 4, "n_experts": 3, "top_k": 2}
MOA = {"kind": "moa", "n_heads": 2, "n_experts": 4, "d_head": 4}
SIGMA_MOE = {"kind": "sigma_moe", "n_experts": 4, "d_expert": 8, "top_k": 2}
MODELS: dict[str, dict[str, Any]] = {
    "dense": {},
    "grouped-query": {
        "attention": {"kind": "grouped_query", "n_heads": 4, "n_kv_heads": 2, "d_head": 4}
    },
    "switchhead": {"attention": SWITCHHEAD},
    "switchhead-all-projections": {
        "attention": {
            **SWITCHHEAD,
            "expert_projections": ["v", "k", "q", "o"],
            "shared_selection": True,
            "gate": "softmax",
        }
    },
    "switchall": {"attention": SWITCHHEAD, "feedforward": SIGMA_MOE},
    "moa": {"attention": MOA},
    "dense-rope": {"positions": ROPE},
    "switchhead-rope": {"attention": SWITCHHEAD, "positions": ROPE},
    "moa-without-memory": {"attention": MOA, "context_multiple": 1},
    "long-memory": {"context_multiple": 3},
}
TEXT = "river lamp bread music paper stone winter glass garden horse\nriver stone lamp"
"""Several chunks of text."""
SYLLABLES = ("ba", "ke", "lo", "mi", "nu", "ra", "se", "to", "vi", "zu")
SENTENCEPIECE = {"kind": "sentencepiece", "vocab_size": 320}
