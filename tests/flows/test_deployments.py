"""prefect.yaml: a deployment for every domain, and a scheduled run that really happens."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import config, runs

CHECKOUT = Path(__file__).resolve().parents[2]
DOMAINS = sorted((CHECKOUT / "data" / "domains").glob("*.yaml"))


def deployments() -> dict[str, dict[str, Any]]:
    declared = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))
    return {deployment["name"]: deployment for deployment in declared["deployments"]}


def test_there_is_one_deployment_for_every_domain_file() -> None:
    assert sorted(deployments()) == [config.load(path).domain for path in DOMAINS]


@pytest.mark.parametrize("path", DOMAINS, ids=lambda path: path.stem)
def test_a_deployment_says_what_its_domain_file_says(path: Path) -> None:
    domain = config.load(path)
    deployment = deployments()[domain.domain]
    assert deployment["entrypoint"] == "flows.adapt:adapt"
    assert deployment["description"] == domain.description
    assert deployment["parameters"] == {"domain": path.relative_to(CHECKOUT).as_posix()}
    schedule = {"cron": domain.schedule.cron, "timezone": "UTC", "active": domain.schedule.active}
    assert deployment["schedules"] == [schedule]
    assert deployment["concurrency_limit"]["limit"] == 1
    assert deployment["work_pool"]["name"] == "angle-adapt"


def scheduled_every_few_seconds(workplace: Any, folder: Path) -> Path:
    """Return a copy of prefect.yaml with one more deployment, of the small stages."""
    declared = yaml.safe_load((CHECKOUT / "prefect.yaml").read_text(encoding="utf-8"))
    tiny = {
        **declared["deployments"][0],
        "name": "tiny",
        "entrypoint": "tiny.deployed:adapt",
        "parameters": {"domain": str(workplace.domain)},
        "schedules": [{"interval": 5, "active": True}],
    }
    declared["deployments"].append(tiny)
    path = folder / "prefect.yaml"
    path.write_text(yaml.safe_dump(declared), encoding="utf-8")
    return path


def prefect(workplace: Any, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    quick = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
    with (folder / f"{arguments[0]}.log").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
            env=workplace.environment(**quick),
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def test_a_scheduled_run_of_a_deployment_completes(
    workplace: Any, seen: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANGLE_ADAPT_HOME", str(workplace.home.root))
    path = scheduled_every_few_seconds(workplace, tmp_path)
    with prefect(workplace, tmp_path, "work-pool", "create", "angle-adapt", "--type", "process"):
        pass
    with prefect(workplace, tmp_path, "deploy", "--all", "--prefect-file", str(path)) as deploy:
        assert deploy.wait(60) == 0, (tmp_path / "deploy.log").read_text()
    with prefect(workplace, tmp_path, "worker", "start", "--pool", "angle-adapt") as worker:
        try:
            done = completed_run(seen, "tiny")
        finally:
            worker.terminate()
    assert done.auto_scheduled
    assert done.parameters == {"domain": str(workplace.domain)}
    assert workplace.ran()[:4] == ["collect", "mine", "train", "evaluate"]
    assert runs.load(done.name).status == "completed"


def completed_run(seen: Any, deployment: str) -> Any:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        for run in seen.runs_of(deployment):
            assert not run.state.is_failed(), run.state.message
            if run.state.is_completed():
                return run
        time.sleep(0.5)
    pytest.fail("no scheduled run completed within 90 s")
