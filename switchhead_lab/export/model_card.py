"""The model card of an export: README.md."""

from collections.abc import Iterable, Mapping
from typing import Any

from switchhead_lab.budget.summary import BudgetSummary, summarise_budget
from switchhead_lab.config.cost_names import CONVENTIONS
from switchhead_lab.config.schema import RunConfig
from switchhead_lab.export.manifest import ExportFormat
from switchhead_lab.sweeping.costing import all_counters
from switchhead_lab.tracking.record import SCORED_SPLITS, RunRecord

_LOADING: dict[ExportFormat, str] = {
    "lab": """\
With `switchhead_lab` installed:

```python
import switchhead_lab

run = switchhead_lab.open_run("PATH/OF/THIS/FOLDER")
model = run.model()
```

On the command line, `lab generate PATH/OF/THIS/FOLDER` and `lab score PATH/OF/THIS/FOLDER FILE` do
the same as for the run.""",
    "hf": """\
With `transformers` installed, and `sentencepiece` if the folder has a tokenizer.model:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("PATH/OF/THIS/FOLDER", trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained("PATH/OF/THIS/FOLDER", trust_remote_code=True)
inputs = tokenizer("Beginning of a document", return_tensors="pt")
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=20)[0], skip_special_tokens=True))
```

`trust_remote_code=True` runs the two Python files of this folder. `switchhead_lab` is not needed;
where it is installed, `switchhead_lab.open_run` opens the folder too.""",
}
_FRONT_MATTER = "---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n"


def model_card(name: str, record: RunRecord, step: int, format_: ExportFormat) -> str:
    """Return the model card as Markdown; equal records give equal text.

    Args:
        name: Name of the run.
        record: Its record.
        step: Optimiser steps of the exported weights.
        format_: Format of the export.
    """
    config = record.config
    budget = summarise_budget(config.model, all_counters(), config.vocab_size, config.n_outputs)
    sections = {
        "Architecture": _architecture(config),
        "Budget": _budget(budget),
        "Results": _results(record, step),
        "Data": _data(config, record.provenance),
        "Code": _code(record.provenance),
        "How to load it": [_LOADING[format_]],
    }
    text = _FRONT_MATTER if format_ == "hf" else ""
    text += f"# {name}\n\n{_introduction(record, step)}\n"
    for heading, lines in sections.items():
        text += f"\n## {heading}\n\n" + "\n".join(lines) + "\n"
    return text


def _introduction(record: RunRecord, step: int) -> str:
    config = record.config
    sweep = f" of the sweep {record.labels.sweep}" if record.labels.sweep else ""
    return (
        f"Model `{record.labels.variant}`{sweep}, size {record.labels.size}, trained with "
        f"switchhead_lab with the objective {config.objective.kind}. The weights are those after "
        f"step {step} of {config.training.n_steps}. The run's identity is `{record.run_hash}`."
    )


def _architecture(config: RunConfig) -> list[str]:
    model = config.model
    rows = {
        "d_model": model.d_model,
        "layers": model.n_layers,
        "chunk (seq_len), tokens": model.seq_len,
        "memory, tokens per layer": model.memory_len,
        "direction": model.direction,
        "vocabulary": config.vocab_size,
        "outputs": config.n_outputs,
        "positions": _fields(model.positions.model_dump(mode="json")),
        "attention": _fields(model.attention.model_dump(mode="json")),
        "feed-forward": _fields(model.feedforward.model_dump(mode="json")),
    }
    return _table(("part", "value"), rows.items())


def _budget(budget: BudgetSummary) -> list[str]:
    costs = budget.costs
    rows: list[tuple[str, str]] = [
        ("parameters", f"{budget.parameters.total:,}"),
        ("of them active per token", f"{costs.n_active_parameters:,}"),
    ]
    for convention in CONVENTIONS:
        macs = costs.model_macs_per_token(convention)
        value = "not defined for these layers" if macs is None else f"{macs:,.0f}"
        rows.append((f"MACs per token, forward, convention `{convention}`", value))
    return _table(("quantity", "value"), rows)


def _results(record: RunRecord, step: int) -> list[str]:
    result = record.result
    if result is None:
        return ["The run has not finished, so it has no results."]
    rows = [
        (metric.label, *(metric.text(result.value(split, metric)) for split in SCORED_SPLITS))
        for metric in record.config.objective.all_metrics()
    ]
    subject = f"After the last step ({result.n_steps})"
    if step != result.n_steps:
        subject = f"Of the weights after step {result.n_steps}, not of the exported ones"
    return [f"{subject}, in {result.precision}:\n", *_table(("metric", *SCORED_SPLITS), rows)]


def _data(config: RunConfig, provenance: Mapping[str, Any]) -> list[str]:
    manifest = provenance.get("data_manifest") or {}
    lines = [f"- {config.data.describe()}"]
    for key in ("source_sha256", "tokenizer_sha256", "digest"):
        if key in manifest:
            lines.append(f"- {key}: `{manifest[key]}`")
    lines += [f"- warning: {warning}" for warning in manifest.get("warnings") or ()]
    return lines


def _code(provenance: Mapping[str, Any]) -> list[str]:
    git = provenance.get("git") or {}
    commit = git.get("commit")
    lines = [f"- commit: `{commit}`" if commit else "- commit: unknown"]
    if git.get("dirty"):
        lines.append("- with uncommitted changes, in uncommitted.diff")
    versions = provenance.get("versions") or {}
    used = [f"{package} {version}" for package, version in versions.items() if version]
    if used:
        lines.append(f"- versions: {', '.join(used)}")
    plugins = [plugin["name"] for plugin in provenance.get("plugins") or ()]
    if plugins:
        lines.append(f"- plugins: {', '.join(plugins)}")
    return [*lines, "- everything else: provenance.json"]


def _fields(values: Mapping[str, Any]) -> str:
    kind = values.get("kind", "")
    others = [f"{name} = {value}" for name, value in values.items() if name != "kind"]
    return ", ".join([str(kind), *others])


def _table(heading: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> list[str]:
    lines = [heading, ("---",) * len(heading), *rows]
    return [f"| {' | '.join(map(str, line))} |" for line in lines]
