"""Settings of clusters: times in Slurm's notation, and options that the lab sets itself."""

import pytest

from switchhead_lab.config.clusters import RaySettings, SlurmSettings, time_seconds
from switchhead_lab.config.files import parse
from switchhead_lab.errors import ConfigError


@pytest.mark.parametrize(
    ("time", "seconds", "minutes"),
    [
        ("90", 5400, 90),
        ("10:30", 630, 11),
        ("04:00:00", 14_400, 240),
        ("1-2", 93_600, 1560),
        ("1-02:03", 93_780, 1563),
        ("1-02:03:04", 93_784, 1564),
    ],
)
def test_times_are_in_slurm_s_notation(time: str, seconds: int, minutes: int) -> None:
    assert time_seconds(time) == seconds
    assert SlurmSettings(time=time).minutes == minutes


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"time": "four hours"}, "is no time limit of Slurm; use MINUTES, HH:MM:SS"),
        ({"time": "00:00:00"}, "is no time limit of Slurm"),
        ({"time": "4", "warning_seconds": 300}, r"not below the time limit time = \"4\" \(240 s\)"),
        ({"options": {"time": "1"}}, '"time" has a field of its own; set time'),
        ({"options": {"cpus-per-task": 2}}, "set cpus_per_worker"),
        ({"options": {"requeue": False}}, '"requeue" is set by the lab; leave it out'),
        ({"options": {"--mem": "1G"}}, "is no option of sbatch; write it as in"),
        ({"options": {"comment": "a\n#SBATCH --x"}}, "should match pattern"),
        ({"partition": "a\nb"}, "partition = .*should match pattern"),
        ({"gpus_per_worker": 2}, "less than or equal to 1"),
        ({"partitoin": "gpu"}, 'did you mean "partition"'),
    ],
)
def test_mistakes_in_slurm_settings_are_named(values, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse(SlurmSettings, values, "lab.toml")


@pytest.mark.parametrize("address", ["auto", "10.0.0.1:6379", "head:6379"])
def test_addresses_of_ray(address: str) -> None:
    assert RaySettings(address=address).address == address


@pytest.mark.parametrize("address", ["", "head", "ray://head:10001", "head:port"])
def test_other_addresses_of_ray_are_rejected(address: str) -> None:
    with pytest.raises(ConfigError, match="address"):
        parse(RaySettings, {"address": address}, "lab.toml")
