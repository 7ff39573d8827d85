import pytest
from model.task_protocol import VARIANTS, Rules, Variant, check


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_variant_fails_as_it_must(variant: Variant) -> None:
    """The protocol is safe, and without one of its rules just what that rule prevents goes wrong."""
    assert check(variant.rules).paths.keys() == variant.expected


def test_the_variant_that_is_built_is_safe() -> None:
    """What the ledger does is safe: the token is the fence (R2), and every claim is durable."""
    assert not check(Rules(fence="token")).paths
