from switchhead_lab.training.diagnosis import Finding
from switchhead_lab.views.doctor import finding_lines

LONG_PATH = "/srv/" + "x" * 90


def test_advice_stands_below_its_finding_and_nowhere_else() -> None:
    findings = [
        Finding("Python", "3.11"),
        Finding("precision", "fp32", "bf16 would be slow " * 6 + "here"),
        Finding("runs", LONG_PATH),
    ]
    lines = list(finding_lines(findings))
    assert lines[0] == "Python     3.11"
    assert lines[1] == "precision  fp32"
    assert lines[2].startswith("           advice: bf16 would be slow")
    assert lines[-1].split()[-1] == LONG_PATH
    assert all(len(line) <= 80 for line in lines if LONG_PATH not in line)
    assert sum("advice" in line for line in lines) == 1
