"""Names of the files in a run directory.

runs/<name>/config.toml       resolved configuration; its hash is the run's identity
runs/<name>/labels.json       names under which the run was requested
runs/<name>/provenance.json   commit, dirty diff, versions, host, data manifest: latest attempt
runs/<name>/attempts/<n>/     provenance of each attempt, from 1
runs/<name>/metrics.jsonl     one line per MetricPoint
runs/<name>/status.json       RunStatus
runs/<name>/import.json       where the run was copied from; only for imported runs
runs/<name>/uploaded.json     what the object store has of the run; only with `artifacts_uri`
runs/<name>/router_use.json   how often each expert was chosen on the validation split
runs/<name>/result.json       RunResult, written last: if it exists, the run is finished
"""

CONFIG_FILE = "config.toml"
LABELS_FILE = "labels.json"
PROVENANCE_FILE = "provenance.json"
DIFF_FILE = "uncommitted.diff"
METRICS_FILE = "metrics.jsonl"
STATUS_FILE = "status.json"
RESULT_FILE = "result.json"
ROUTER_USE_FILE = "router_use.json"
MLFLOW_LINK_FILE = "mlflow.json"
ATTEMPTS_DIR = "attempts"
UNSYNCED_FILE = "unsynced"
CHECKPOINTS_DIR = "checkpoints"
PLUGINS_DIR = "plugins"
IMPORT_FILE = "import.json"
UPLOAD_FILE = "uploaded.json"
