"""The MLflow experiment of a workspace, in stores that workspaces may share (no MLflow import)."""

import hashlib
from typing import Any

from switchhead_lab.tracking.mlflow_fields import TAG_WORKSPACE


def ensure_experiment(client: Any, name: str, artifact_location: str) -> str:
    """Return the id of an experiment whose artifacts are in the workspace.

    In a shared database, the experiment of this name may belong to another workspace; this one
    then gets an experiment of its own.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artifact_location=artifact_location))
    is_elsewhere = found.artifact_location.startswith("file:")
    if is_elsewhere and found.artifact_location != artifact_location:
        own_name = f"{name}-{hashlib.sha256(artifact_location.encode()).hexdigest()[:8]}"
        return ensure_experiment(client, own_name, artifact_location)
    return _restored(client, found)


def ensure_owned_experiment(client: Any, name: str, owner: str) -> str:
    """Return the id of a workspace's experiment on a server.

    The first workspace takes the name; every other one gets its own experiment, since runs are
    found by their configuration, which two workspaces may share.
    """
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, tags={TAG_WORKSPACE: owner}))
    other = found.tags.get(TAG_WORKSPACE)
    if other is not None and other != owner:
        return ensure_owned_experiment(client, f"{name}-{owner[:8]}", owner)
    if other is None:  # created by a version without workspace ids
        client.set_experiment_tag(found.experiment_id, TAG_WORKSPACE, owner)
    return _restored(client, found)


def _restored(client: Any, experiment: Any) -> str:
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)
