"""A job's variables and an event's file -> what the Action's door does on GitHub, and what it tells the runner."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bot.marks import read_mark
from tests.action_fixtures import NAME, READING, TOKEN, Job, Labelled, job_for, labelled, obeyed
from tests.github_server.webhooks import issue_comment_created, workflow_dispatch

OUTPUTS = {
    "learned",
    "conclusion",
    "run_id",
    "branch_name",
    "pr_number",
    "pr_url",
    "comment_url",
    "cost_usd",
    "artifacts_dir",
    "structured_output",
}
NO_ENGINE = "unix:///nonexistent/docker.sock"


def ending_of(at: Labelled) -> tuple[str, str | None]:
    """Status and conclusion in the issue's one comment."""
    (comment,) = at.comments
    mark = read_mark(comment)
    assert mark is not None
    return mark.status, mark.conclusion


def containers_of(run_id: str) -> list[str]:
    done = subprocess.run(
        ["docker", "ps", "--all", "--format", "{{.ID}} {{.Labels}}"], capture_output=True, text=True, check=True
    )
    return [line for line in done.stdout.splitlines() if run_id in line]


# --- without a sandbox ------------------------------------------------------------------------------------------


def test_an_event_that_means_nothing_costs_nothing(tmp_path: Path) -> None:
    with labelled("question") as at:
        done = job_for(at.github, tmp_path, at.payload).step("run")
        assert done.code == 0, done.stderr
        assert set(done.outputs) == OUTPUTS
        assert done.outputs["conclusion"] == "skipped"
        assert re.fullmatch("[0-9a-f]{16}", done.outputs["run_id"])
        assert done.outputs["artifacts_dir"] == ""
        assert "label" in done.summary
        assert at.writes == []
        assert obeyed(done.stdout) == ["add-mask"]


def test_a_stranger_is_refused_with_a_notice(tmp_path: Path) -> None:
    with labelled(by="mallory") as at:
        done = job_for(at.github, tmp_path, at.payload).step("run", DOCKER_HOST=NO_ENGINE)
        assert (done.code, done.outputs["conclusion"]) == (0, "skipped")
        assert obeyed(done.stdout) == ["add-mask", "notice"]
        assert len(at.comments) == 1
        assert "permission" in at.comments[0]


def test_the_token_is_masked_and_never_shown(tmp_path: Path) -> None:
    with labelled("question") as at:
        done = job_for(at.github, tmp_path, at.payload).step("run")
        assert done.stdout.count(TOKEN) == 1
        assert f"::add-mask::{TOKEN}\n" in done.stdout
        assert TOKEN not in done.stderr + done.summary + json.dumps(done.outputs)


def test_help_is_answered_and_its_address_is_an_output(tmp_path: Path) -> None:
    with labelled("question") as at:
        comment = at.github.comment(NAME, at.number, "/bot help", user="ann")
        payload = issue_comment_created(at.github, NAME, comment.id)
        done = job_for(at.github, tmp_path, payload, "issue_comment").step("run", DOCKER_HOST=NO_ENGINE)
        assert done.code == 0, done.stdout + done.stderr
        assert done.outputs["conclusion"] == "success"
        assert done.outputs["comment_url"].startswith(at.github.html_url)
        assert len(at.comments) == 2


@pytest.mark.parametrize("text", ["", '{"action": "labeled"}'], ids=["empty", "bare"])
def test_a_payload_that_is_not_githubs_ends_as_the_callers_mistake(tmp_path: Path, text: str) -> None:
    with labelled() as at:
        job = job_for(at.github, tmp_path, at.payload)
        environ = job.environ()
        Path(environ["GITHUB_EVENT_PATH"]).write_text(text)
        path = tmp_path / "other.json"
        path.write_text(text)
        done = job.step("run", GITHUB_EVENT_PATH=str(path))
        assert done.code == 2, done.stdout + done.stderr
        assert obeyed(done.stdout) == ["add-mask", "error"]
        assert at.writes == []


def test_outside_of_a_job_it_says_what_to_do_instead(tmp_path: Path) -> None:
    with labelled() as at:
        done = job_for(at.github, tmp_path, at.payload).step("run", GITHUB_EVENT_PATH="")
        assert done.code == 2
        assert "sandpiper handle" in done.stdout


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    with labelled() as at:
        done = job_for(at.github, tmp_path, at.payload).step("run", SANDPIPER_MAX_STEPS="many")
        assert done.code == 2
        assert "SANDPIPER_MAX_STEPS" in done.stdout


def test_a_token_that_github_does_not_know_is_a_providers_failure(tmp_path: Path) -> None:
    with labelled() as at:
        done = job_for(at.github, tmp_path, at.payload).step("run", SANDPIPER_TOKEN="ghs_not-known-to-anybody")
        assert done.code == 3, done.stdout + done.stderr
        assert obeyed(done.stdout) == ["add-mask", "error"]


def test_a_policy_can_not_command_the_runner(tmp_path: Path) -> None:
    """Its mistakes are quoted in a remark, line by line as somebody wrote them."""
    with labelled() as at:
        evil = 'version: 1\ntasks:\n  "x\\n::set-env name=A::b\\n##[add-path]/tmp": {runtime: command}\n'
        at.github.commit(NAME, "main", {".github/bot.yml": evil})
        done = job_for(at.github, tmp_path, at.payload).step("run")
        assert done.code == 2, done.stdout + done.stderr
        assert obeyed(done.stdout) == ["add-mask", "error"]


def test_a_dispatch_without_a_number_is_understood(tmp_path: Path) -> None:
    with labelled() as at:
        payload = workflow_dispatch(at.github, NAME, "ann", {"task": "no-such-task", "number": "", "prompt": ""})
        done = job_for(at.github, tmp_path, payload, "workflow_dispatch").step("run", DOCKER_HOST=NO_ENGINE)
        assert done.code == 0, done.stdout + done.stderr
        assert done.outputs["conclusion"] == "skipped"
        assert at.writes == []


def test_finalising_without_a_run_does_nothing(tmp_path: Path) -> None:
    with labelled() as at:
        done = job_for(at.github, tmp_path, at.payload).step("finalise", DOCKER_HOST=NO_ENGINE)
        assert done.code == 0, done.stdout + done.stderr
        assert at.writes == []


def test_a_missing_proposal_is_told_to_people(tmp_path: Path) -> None:
    """The job that works died; the job that publishes needs neither an engine nor a model to say so."""
    with labelled() as at:
        done = job_for(at.github, tmp_path, at.payload).step(
            "publish", RUN_FOLDER=str(tmp_path / "none"), DOCKER_HOST=NO_ENGINE
        )
        assert done.code == 3, done.stdout + done.stderr
        assert ending_of(at) == ("completed", "failure")
        assert "without a result" in at.comments[0]
        assert at.github.violations == []


# --- with a sandbox ---------------------------------------------------------------------------------------------


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_a_label_becomes_a_draft_pull_request(tmp_path: Path) -> None:
    """The whole story in one job, and what the task prints is inert in the log."""
    with labelled() as at:
        done = job_for(at.github, tmp_path, at.payload).step("run")
        assert done.code == 0, done.stdout + done.stderr
        assert obeyed(done.stdout) == ["add-mask"]
        assert TOKEN not in done.stdout.replace(f"::add-mask::{TOKEN}\n", "")
        outputs = done.outputs
        assert outputs["conclusion"] == "success"
        assert at.file(outputs["branch_name"], "made.txt") == "fresh\n"
        pull = at.github.repo(NAME).pulls[int(outputs["pr_number"])]
        assert pull.pull is not None
        assert pull.pull.draft
        assert outputs["pr_url"].endswith(f"/{outputs['pr_number']}")
        assert ending_of(at) == ("completed", "success")
        kept = {path.name for path in Path(outputs["artifacts_dir"]).iterdir()}
        assert kept >= {"changes.patch", "report.md", "result.json", "commands.log"}
        assert "run.json" not in kept
        assert containers_of(outputs["run_id"]) == []
        _again(at, "run", tmp_path / "again")
        assert at.github.violations == []


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_two_jobs_share_the_story_but_not_the_rights(tmp_path: Path) -> None:
    with labelled() as at:
        reading = "ghs_this-token-may-only-read-9876543210"
        at.github.add_token(reading, permissions=READING)
        proposed = job_for(at.github, tmp_path / "one", at.payload).step("propose", SANDPIPER_TOKEN=reading)
        assert proposed.code == 0, proposed.stdout + proposed.stderr
        assert at.writes == []
        folder = proposed.outputs["artifacts_dir"]
        publishing = job_for(at.github, tmp_path / "two", at.payload, RUN_FOLDER=folder, DOCKER_HOST=NO_ENGINE)
        done = publishing.step("publish")
        assert done.code == 0, done.stdout + done.stderr
        assert at.file(done.outputs["branch_name"], "made.txt") == "fresh\n"
        assert ending_of(at) == ("completed", "success")
        _again(at, "publish", tmp_path / "three", RUN_FOLDER=folder, GITHUB_RUN_ATTEMPT="2")
        assert at.github.violations == []


def _again(at: Labelled, mode: str, folder: Path, **more: str) -> None:
    """The same event on a runner that knows nothing of the first time: nothing is run and nothing written twice."""
    repo = at.github.repo(NAME)
    before = (len(repo.pulls), at.comments, repo.git.refs("refs/heads/"))
    done = job_for(at.github, folder, at.payload).step(mode, DOCKER_HOST=NO_ENGINE, **more)
    assert done.code == 0, done.stdout + done.stderr
    assert (len(repo.pulls), at.comments, repo.git.refs("refs/heads/")) == before


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_work_that_is_ruled_out_between_two_jobs_is_told_to_who_paid(tmp_path: Path) -> None:
    with labelled() as at:
        proposed = job_for(at.github, tmp_path / "one", at.payload).step("propose")
        folder = proposed.outputs["artifacts_dir"]
        at.github.repo(NAME).issues[1].labels.clear()
        publishing = job_for(at.github, tmp_path / "two", at.payload, RUN_FOLDER=folder, DOCKER_HOST=NO_ENGINE)
        done = publishing.step("publish")
        assert (done.code, done.outputs["conclusion"]) == (0, "skipped"), done.stdout + done.stderr
        (told,) = at.github.repo(NAME).comments(1)
        assert "Not published" in told
        assert "The label was taken off" in told
        assert not at.github.repo(NAME).pulls


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_a_publishing_job_that_broke_is_finished_by_the_next_attempt(tmp_path: Path) -> None:
    """The commit is there, the pull request is not: the second attempt finds the one and makes the other."""
    with labelled() as at:
        repo = at.github.repo(NAME)
        proposed = job_for(at.github, tmp_path / "one", at.payload).step("propose")
        folder = proposed.outputs["artifacts_dir"]
        fault = at.github.faults.add("POST", "/pulls$", "status", times=-1, status=500)
        broken = job_for(at.github, tmp_path / "two", at.payload, RUN_FOLDER=folder).step("publish")
        assert broken.code == 3, broken.stdout + broken.stderr
        assert ending_of(at) == ("completed", "failure")
        heads = repo.git.refs("refs/heads/")
        assert len(heads) == 2
        at.github.faults.planted.remove(fault)
        again = job_for(at.github, tmp_path / "three", at.payload, RUN_FOLDER=folder, GITHUB_RUN_ATTEMPT="2")
        done = again.step("publish", DOCKER_HOST=NO_ENGINE)
        assert done.code == 0, done.stdout + done.stderr
        assert ending_of(at) == ("completed", "success")
        assert (len(repo.pulls), repo.git.refs("refs/heads/")) == (1, heads)


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_a_task_that_fails_is_told_by_exit_code_and_comment(tmp_path: Path) -> None:
    with labelled(script="echo 'no such tide'; exit 3\n") as at:
        done = job_for(at.github, tmp_path, at.payload).step("run")
        assert (done.code, done.outputs["conclusion"]) == (1, "failure"), done.stdout + done.stderr
        assert "no such tide" in at.comments[0]
        assert ending_of(at) == ("completed", "failure")
        assert at.github.repo(NAME).pulls == {}


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_a_proposal_that_was_tampered_with_is_not_published(tmp_path: Path) -> None:
    with labelled() as at:
        proposed = job_for(at.github, tmp_path / "one", at.payload).step("propose")
        folder = Path(proposed.outputs["artifacts_dir"])
        record = json.loads((folder / "run.json").read_text())
        record["decision"]["spec"]["task"]["outputs"] = ["comment", "branch"]
        (folder / "run.json").write_text(json.dumps(record))
        done = job_for(at.github, tmp_path / "two", at.payload).step(
            "publish", RUN_FOLDER=str(folder), DOCKER_HOST=NO_ENGINE
        )
        assert done.code == 2, done.stdout + done.stderr
        assert ending_of(at) == ("completed", "failure")
        assert at.github.repo(NAME).pulls == {}
        assert list(at.github.repo(NAME).git.refs("refs/heads/")) == ["refs/heads/main"]


def _begin(at: Labelled, folder: Path) -> tuple[Job, subprocess.Popen[str], str]:
    """A job in the middle of a task that would take a minute."""
    job = job_for(at.github, folder, at.payload)
    process = job.start("run")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if at.comments and (mark := read_mark(at.comments[0])) and containers_of(mark.run):
            time.sleep(1)  # into the command itself
            return job, process, mark.run
        time.sleep(0.2)
    process.kill()
    raise AssertionError("\n".join(process.communicate()))


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_a_cancelled_job_ends_in_time_and_says_so(tmp_path: Path) -> None:
    """The runner kills 10 s after its first signal."""
    with labelled(script="sleep 60\n") as at:
        job, process, run_id = _begin(at, tmp_path)
        process.send_signal(signal.SIGINT)
        done = job.wait(process, 10)
        assert done.code == 130, done.stdout + done.stderr
        assert ending_of(at) == ("completed", "cancelled")
        assert containers_of(run_id) == []


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
@pytest.mark.parametrize(("status", "conclusion"), [("cancelled", "cancelled"), ("failure", "failure")])
def test_a_killed_run_is_cleared_away_and_its_comment_made_true(tmp_path: Path, status: str, conclusion: str) -> None:
    with labelled(script="sleep 60\n") as at:
        job, process, run_id = _begin(at, tmp_path)
        process.kill()
        job.wait(process, 10)
        assert ending_of(at) == ("in_progress", None)
        done = job.step("finalise", MODE="run", JOB_STATUS=status)
        assert ending_of(at) == ("completed", conclusion), done.stdout + done.stderr
        assert containers_of(run_id) == []
        assert at.github.violations == []
