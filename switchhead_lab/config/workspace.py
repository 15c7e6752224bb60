"""The workspace: the folder that holds lab.toml, and its folders of data, runs and reports."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from switchhead_lab.config.addresses import (
    MLFLOW_SCHEMA,
    OPTUNA_SCHEMA,
    absolute_address,
    is_server,
    require_database_address,
    require_http_address,
    require_postgresql_address,
    require_store_address,
    with_schema,
)
from switchhead_lab.config.clusters import RaySettings, SlurmSettings
from switchhead_lab.config.files import parse, read_as
from switchhead_lab.config.names import CorpusName
from switchhead_lab.errors import WorkspaceError, reason_of
from switchhead_lab.frozen_model import FrozenModel

FILE_NAME = "lab.toml"
_MAX_SHOWN = 200
FolderPath = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f]+$")]


class WorkspaceSettings(FrozenModel):
    """Contents of lab.toml. Paths are relative to its folder; `~` is the home folder."""

    data_dir: FolderPath = "data"
    """Prepared corpora."""
    runs_dir: FolderPath = "runs"
    """Run directories, sweep records and study storage."""
    reports_dir: FolderPath = "reports"
    """Generated tables and figures."""
    sweeps_dir: FolderPath = "sweeps"
    """Sweep files."""
    tracking_uri: str = "sqlite:///runs/mlflow.db"
    """MLflow tracking store: a SQLite URI, a server's address, or "none"."""
    study_storage: str = "sqlite:///runs/optuna.db"
    """Optuna storage: a SQLAlchemy URI."""
    database: str = ""
    """PostgreSQL database for workers on several hosts: sweeps, studies and MLflow each have a
    schema in it, which `lab init` creates; empty to use files in the workspace. An address without
    a password takes it from PGPASSWORD or ~/.pgpass."""
    vanished_seconds: int = Field(default=90, ge=10, le=86_400)
    """Heartbeat timeout of workers with a database, s; then others can take over the run."""
    artifacts_uri: str = ""
    """Object store to which ended runs are uploaded, and from which those of other hosts are
    fetched: `s3://bucket/prefix`, `file:///shared/folder` or another address of fsspec, without
    credentials; empty to keep run directories on their hosts."""
    default_corpus: CorpusName = "sotu"
    """Default corpus of `lab data prepare`."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device to train on; "auto" picks cuda, then mps, then cpu."""
    sharing: Literal["copies", "parts"] = "copies"
    """How several processes (torchrun) share a model: "copies" on each (DDP), or "parts" of weights
    and optimiser state (FSDP2), for models that do not fit into one device."""
    plugins: list[str] = []
    """Python files or modules that register variants or objectives."""
    slurm: SlurmSettings = SlurmSettings()
    """Jobs of `lab sweep --on slurm`."""
    ray: RaySettings = RaySettings()
    """Tasks of `lab sweep --on ray`."""

    @field_validator("tracking_uri")
    @classmethod
    def _tracking_uri_is_valid(cls, address: str) -> str:
        if is_server(address):
            require_http_address(address)
        elif address != "none":
            require_database_address(address)
        return address

    @field_validator("database")
    @classmethod
    def _database_is_valid(cls, address: str) -> str:
        if address:
            require_postgresql_address(address)
        return address

    @field_validator("artifacts_uri")
    @classmethod
    def _artifacts_uri_is_valid(cls, address: str) -> str:
        if address:
            require_store_address(address)
        return address.rstrip("/")

    @field_validator("study_storage")
    @classmethod
    def _study_storage_is_valid(cls, address: str) -> str:
        require_database_address(address)
        return address

    @model_validator(mode="after")
    def _databases_differ(self) -> Self:
        if self.tracking_uri == self.study_storage:
            raise ValueError(
                "tracking_uri and study_storage name the same database, but MLflow and Optuna each "
                "need their own; change study_storage"
            )
        return self


@dataclass(frozen=True)
class Workspace:
    """A workspace folder and its settings, with every path absolute."""

    root: Path
    settings: WorkspaceSettings

    def on_device(self, device: str) -> "Workspace":
        """Return the workspace with another device; an empty name keeps the current one.

        Raises:
            ConfigError: If the kind of device is unknown.
        """
        if not device:
            return self
        values = {**self.settings.model_dump(), "device": device}
        return replace(self, settings=parse(WorkspaceSettings, values, "--device"))

    @property
    def data_dir(self) -> Path:
        """Folder of prepared corpora."""
        return self._folder(self.settings.data_dir)

    @property
    def runs_dir(self) -> Path:
        """Folder of run directories."""
        return self._folder(self.settings.runs_dir)

    @property
    def reports_dir(self) -> Path:
        """Folder of generated reports."""
        return self._folder(self.settings.reports_dir)

    @property
    def sweeps_dir(self) -> Path:
        """Folder of sweep files."""
        return self._folder(self.settings.sweeps_dir)

    @property
    def database(self) -> str:
        """Address of the PostgreSQL database, by the driver psycopg; empty without one."""
        return with_schema(self.settings.database, "") if self.settings.database else ""

    @property
    def tracking_uri(self) -> str:
        """Tracking URI with SQLite paths made absolute; in the database unless it is set."""
        address = self.settings.tracking_uri
        if self.settings.database and self._is_default("tracking_uri"):
            return with_schema(self.settings.database, MLFLOW_SCHEMA)
        if address == "none" or is_server(address):
            return address
        return self._absolute(address)

    @property
    def study_storage(self) -> str:
        """Study storage URI with SQLite paths made absolute; in the database unless it is set."""
        if self.settings.database and self._is_default("study_storage"):
            return with_schema(self.settings.database, OPTUNA_SCHEMA)
        return self._absolute(self.settings.study_storage)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses of servers; their secrets are masked in all messages and records."""
        settings = self.settings
        return settings.tracking_uri, settings.study_storage, settings.database

    def _is_default(self, field: str) -> bool:
        fields = WorkspaceSettings.model_fields
        return bool(getattr(self.settings, field) == fields[field].default)

    def _folder(self, path: str) -> Path:
        return self.root / _expand_home(path)

    def _absolute(self, address: str) -> str:
        return absolute_address(address, self.root)


def _expand_home(path: str) -> Path:
    """Return a path with a leading `~` replaced by the home folder.

    Raises:
        WorkspaceError: If the home folder is unknown.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise WorkspaceError(
            f"{path}: the home folder is unknown; set HOME or write an absolute path"
        ) from None


def find_workspace(
    start: Path | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    checks_plugins: bool = True,
) -> Workspace:
    """Find the workspace: `LAB_HOME` if set, else the nearest folder upward that holds lab.toml.

    Args:
        start: Folder to start from, the current one by default.
        environment: Environment variables, the process's by default.
        checks_plugins: Whether to reject plugins with variants that break the contract.

    Raises:
        WorkspaceError: If there is no lab.toml.
        ConfigError: If lab.toml or a plugin that it names is not valid.
    """
    environment = os.environ if environment is None else environment
    # Resolved even with LAB_HOME, because libraries need a current folder.
    start = _absolute_path(start or Path())
    home = environment.get("LAB_HOME")
    if home:
        root = _absolute_path(_expand_home(home))
        if not (root / FILE_NAME).is_file():
            raise WorkspaceError(
                f"LAB_HOME={home}: there is no {FILE_NAME} in that folder; "
                "unset LAB_HOME or point it at a workspace"
            )
        return _load(root, checks_plugins=checks_plugins)
    for folder in (start, *start.parents):
        if (folder / FILE_NAME).is_file():
            return _load(folder, checks_plugins=checks_plugins)
    raise WorkspaceError(
        f"no {FILE_NAME} in {start} or any folder above it; "
        "change into a workspace or set LAB_HOME to one"
    )


def _absolute_path(path: Path) -> Path:
    """Return an absolute path that records can hold.

    Raises:
        WorkspaceError: If the current folder is gone, or the path is inaccessible or not UTF-8.
    """
    try:
        found = path.resolve()
        str(found).encode()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found.lstat()
    except FileNotFoundError:
        raise WorkspaceError(
            "the current folder no longer exists; change into a workspace"
        ) from None
    except UnicodeEncodeError:
        raise WorkspaceError(
            f"{str(path.resolve())!a}: not UTF-8, which records need; rename it"
        ) from None
    except OSError as error:
        raise WorkspaceError(
            f"{str(path)[:_MAX_SHOWN]}: cannot be read: {reason_of(error)}; give another path"
        ) from None
    return found


def _load(root: Path, *, checks_plugins: bool) -> Workspace:
    path = root / FILE_NAME
    settings = read_as(WorkspaceSettings, path)
    if settings.plugins:
        # With the schemas of variants, which most commands import later if at all.
        from switchhead_lab.config.plugins import load_plugins

        load_plugins(settings.plugins, root, path, checks=checks_plugins)
    return Workspace(root=root, settings=settings)
