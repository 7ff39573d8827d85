import pytest

from datamcp.config import GlobalConfig, MonitoringConfig
from datamcp.config.fields import is_secret
from datamcp.config.loader import load
from datamcp.config.view import rows
from datamcp.errors import ConfigError

LOGIN = "ops:correct horse,dev:battery:staple"


@pytest.mark.parametrize("logins", [LOGIN, "a:b"])
def test_logins_are_users_with_passwords(logins: str) -> None:
    """Several between commas; a password may hold a colon."""
    found = MonitoringConfig.model_validate({"flower_auth": logins}).flower_auth
    assert found is not None
    assert found.get_secret_value() == logins


@pytest.mark.parametrize("logins", ["ops", "ops:", ":secret", "ops:secret,", "ops:secret,dev"])
def test_a_login_without_a_user_or_a_password_is_refused(logins: str) -> None:
    """It would let in whoever knows nothing; the message repeats none of it."""
    with pytest.raises(ConfigError, match="must have the form USER:PASSWORD") as refused:
        load(environ={"DATAMCP_MONITORING__FLOWER_AUTH": logins})
    assert "secret" not in str(refused.value)


def test_logins_are_shown_nowhere() -> None:
    """Neither by the configuration itself nor where it is listed."""
    loaded = load(environ={"DATAMCP_MONITORING__FLOWER_AUTH": LOGIN})
    shown = [str(row.value) for row in rows(loaded, "monitoring")]
    shown += [repr(loaded.config), loaded.config.model_dump_json(), repr(loaded)]
    assert [text for text in shown if "horse" in text or "staple" in text] == []
    assert is_secret(("monitoring", "flower_auth"))


@pytest.mark.parametrize(
    ("environment", "said", "sends"),
    [
        ("development", None, True),
        ("testing", None, False),
        ("staging", None, False),
        ("production", None, False),
        ("development", False, False),
        ("production", True, True),
    ],
)
def test_events_are_for_development_unless_somebody_says_so(
    environment: str, said: bool | None, sends: bool
) -> None:
    """They cost speed, so they are asked for where speed counts."""
    config = GlobalConfig.model_validate(
        {"system": {"environment": environment}, "monitoring": {"task_events": said}}
    )
    assert config.sends_task_events is sends
