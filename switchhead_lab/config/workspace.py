"""The workspace: the folder that holds lab.toml, and where its data, runs and reports live."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from switchhead_lab.config.files import parse, read_toml
from switchhead_lab.config.part import Part
from switchhead_lab.errors import WorkspaceError

FILE_NAME = "lab.toml"


class WorkspaceSettings(Part):
    """Contents of lab.toml. Relative paths start at the folder that holds it."""

    data_dir: str = "data"
    """Prepared corpora."""
    runs_dir: str = "runs"
    """Run directories, sweep records and study storage."""
    reports_dir: str = "reports"
    """Generated tables and figures."""
    sweeps_dir: str = "sweeps"
    """Sweep files."""
    tracking_uri: str = "sqlite:///runs/mlflow.db"
    """MLflow tracking store: a SQLite URI, a server's address, or "none"."""
    study_storage: str = "sqlite:///runs/optuna.db"
    """Optuna storage: a SQLAlchemy URI."""
    default_corpus: str = "sotu"
    """Corpus that `lab data prepare` takes when none is named."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where models are trained: "auto" takes cuda, then mps, then cpu."""

    @model_validator(mode="after")
    def _two_databases(self) -> Self:
        if self.tracking_uri == self.study_storage:
            raise ValueError(
                "tracking_uri and study_storage name one database, but MLflow and Optuna each need "
                "one of their own; give study_storage another"
            )
        return self


@dataclass(frozen=True)
class Workspace:
    """A workspace folder and its settings, with every path absolute."""

    root: Path
    settings: WorkspaceSettings

    def on_device(self, device: str) -> "Workspace":
        """Return the workspace with another device; an empty name keeps the one it has.

        Raises:
            ConfigError: If there is no such kind of device.
        """
        if not device:
            return self
        values = {**self.settings.model_dump(), "device": device}
        return replace(self, settings=parse(WorkspaceSettings, values, "--device"))

    @property
    def data_dir(self) -> Path:
        """Folder of prepared corpora."""
        return self.root / self.settings.data_dir

    @property
    def runs_dir(self) -> Path:
        """Folder of run directories."""
        return self.root / self.settings.runs_dir

    @property
    def reports_dir(self) -> Path:
        """Folder of generated reports."""
        return self.root / self.settings.reports_dir

    @property
    def sweeps_dir(self) -> Path:
        """Folder of sweep files."""
        return self.root / self.settings.sweeps_dir

    @property
    def tracking_uri(self) -> str:
        """Tracking URI with SQLite paths made absolute."""
        return self._absolute(self.settings.tracking_uri)

    @property
    def study_storage(self) -> str:
        """Study storage URI with SQLite paths made absolute."""
        return self._absolute(self.settings.study_storage)

    def _absolute(self, uri: str) -> str:
        prefix = "sqlite:///"
        if not uri.startswith(prefix):
            return uri
        return prefix + str(self.root / uri.removeprefix(prefix))


def find_workspace(
    start: Path | None = None, environment: Mapping[str, str] | None = None
) -> Workspace:
    """Find the workspace: `LAB_HOME` if set, else the nearest folder upward that holds lab.toml.

    Args:
        start: Folder to start from, the current one by default.
        environment: Environment variables, the process's by default.

    Raises:
        WorkspaceError: If there is no lab.toml.
        ConfigError: If lab.toml is not valid.
    """
    environment = os.environ if environment is None else environment
    home = environment.get("LAB_HOME")
    if home:
        root = Path(home).expanduser().resolve()
        if not (root / FILE_NAME).is_file():
            raise WorkspaceError(
                f"LAB_HOME={home}: there is no {FILE_NAME} in that folder; "
                "unset LAB_HOME or point it at a workspace"
            )
        return _load(root)
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return _load(folder)
    raise WorkspaceError(
        f"no {FILE_NAME} in {start} or any folder above it; "
        "change into a workspace or set LAB_HOME to one"
    )


def _load(root: Path) -> Workspace:
    path = root / FILE_NAME
    return Workspace(root=root, settings=parse(WorkspaceSettings, read_toml(path), str(path)))
