import pytest
from pydantic import ValidationError
from support.steps import StepRunner

from datamcp.errors import UnknownTaskTypeError
from datamcp.processors.processor import DataProcessor, ProcessingConfig


def test_names_and_models(runner: StepRunner) -> None:
    """Every name makes a processor and has a model that refuses unknown keys."""
    registry = runner.registry
    assert registry.names() == [
        *("data.validate", "document.extract", "file.deliver", "file.read", "file.write"),
        *("http.get", "http.post", "sql.read", "sql.transform", "sql.write"),
    ]
    for name in registry.names():
        assert isinstance(registry.create(name), DataProcessor)
        model = registry.config_model(name)
        assert issubclass(model, ProcessingConfig)
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            model.model_validate({"nonsense": 1})


def test_unknown_name(runner: StepRunner) -> None:
    """An unknown name is refused with those that exist and the nearest one."""
    with pytest.raises(UnknownTaskTypeError, match=r"did you mean 'file\.read'\?"):
        runner.registry.create("file.raed")
    with pytest.raises(UnknownTaskTypeError, match=r"processors are data\.validate, "):
        runner.registry.config_model("os.system")
