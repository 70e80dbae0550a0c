"""hasura/ is a project that the Hasura CLI v3 takes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "hasura"

# https://hasura.io/docs/2.0/hasura-cli/config-reference/
KEYS = {
    "version",
    "endpoint",
    "metadata_directory",
    "migrations_directory",
    "seeds_directory",
    "actions",
}


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((PROJECT / "config.yaml").read_text(encoding="utf-8"))
    return loaded


def test_the_configuration_has_the_keys_of_version_3_and_no_secret(config: dict[str, Any]) -> None:
    assert config["version"] == 3
    assert set(config) == KEYS
    assert config["actions"] == {
        "kind": "synchronous",
        "handler_webhook_baseurl": "http://localhost:5000",
    }


@pytest.mark.parametrize("name", ["metadata", "migrations", "seeds"])
def test_every_directory_is_relative_and_is_there(config: dict[str, Any], name: str) -> None:
    given = config[f"{name}_directory"]

    assert not Path(given).is_absolute()  # the CLI would look for it inside the project
    assert (PROJECT / given).is_dir()


def test_the_migrations_are_the_ones_beside_the_project(config: dict[str, Any]) -> None:
    assert (PROJECT / config["migrations_directory"]).resolve() == ROOT / "migrations"


def test_every_migration_goes_up_and_down_in_an_order_of_its_own(config: dict[str, Any]) -> None:
    folders = sorted((PROJECT / config["migrations_directory"] / "default").iterdir())

    assert len(folders) > 10
    names = [re.fullmatch(r"([0-9]{13})_[a-z_]+", folder.name) for folder in folders]
    assert all(names)
    versions = [name[1] for name in names if name]
    assert len(set(versions)) == len(versions)
    for folder in folders:
        assert {file.name for file in folder.iterdir()} == {"up.sql", "down.sql"}
        assert all(file.read_text(encoding="utf-8").strip() for file in folder.iterdir())


def test_migrations_and_seeds_belong_to_databases_of_the_metadata(config: dict[str, Any]) -> None:
    databases = PROJECT / "metadata" / "databases" / "databases.yaml"
    sources = {each["name"] for each in yaml.safe_load(databases.read_text(encoding="utf-8"))}

    for name in ("migrations", "seeds"):
        place = PROJECT / config[f"{name}_directory"]
        folders = {entry.name for entry in place.iterdir() if entry.is_dir()}
        assert folders <= sources
