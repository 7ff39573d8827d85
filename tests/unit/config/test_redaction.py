import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamcp.config.redaction import HIDDEN, has_secret, is_secret_name, redact, redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:hunter2@host:6379/0", f"redis://:{HIDDEN}@host:6379/0"),
        ("postgresql://me:hunter2@host/db", f"postgresql://me:{HIDDEN}@host/db"),
        ("redis://:hun/t@er2@host", f"redis://:{HIDDEN}@host"),
        ("postgresql://host/db?user=me&password=hunter2", f"postgresql://host/db?user=me&password={HIDDEN}"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("postgresql://me@host/db?sslmode=require", "postgresql://me@host/db?sslmode=require"),
        ("sqlite:////home/a:b@c/ledger.db", "sqlite:////home/a:b@c/ledger.db"),
        ("just text", "just text"),
    ],
)  # fmt: skip
def test_a_url_loses_its_password_and_nothing_else(url: str, shown: str) -> None:
    """Passwords in user part and query are hidden, even where they are not well encoded."""
    assert redact_url(url) == shown
    assert has_secret(url) == (url != shown)


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S"]), min_size=1))
def test_no_password_survives(password: str) -> None:
    """Whatever a password is made of, nothing of it is left."""
    assert redact_url(f"redis://me:{password}@host/0") == f"redis://me:{HIDDEN}@host/0"


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "API_KEY",
        "apikey",
        "token",
        "client_secret",
        "master_key",
        "flower_auth",
    ],
)
def test_names_of_secrets_are_known(name: str) -> None:
    """The usual names of secrets are recognised in any case of letters."""
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["key_file", "max_tokens", "key_prefix", "min_length", "keyspace", "author"]
)
def test_other_names_are_left_alone(name: str) -> None:
    """A setting that only resembles a secret is shown."""
    assert not is_secret_name(name)


def test_a_secret_is_hidden_whole_whatever_its_type() -> None:
    """Below the name of a secret nothing is shown, at any depth."""
    value = {"retries": 3, "auth": {"token": ["a", "b"]}, "urls": ["redis://:pw@h"], "none": None}
    assert redact(value) == {
        "retries": 3,
        "auth": {"token": HIDDEN},
        "urls": [f"redis://:{HIDDEN}@h"],
        "none": None,
    }
