"""The package asks of pydantic only what pydantic promises to keep."""

import ast
from pathlib import Path

import pytest

import pandas_genai.task.schema as package
from pandas_genai.task.schema import compile_schema

FILES = sorted(Path(package.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_no_hand_built_core_schema_and_no_private_name_of_pydantic(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pydantic"):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
    hand_built = {"core_schema", "CoreSchema", "SchemaValidator", "SchemaSerializer"}
    assert not {name for name in names if "._" in name or name.split(".")[-1] in hand_built}
    assert not {name for name in names if name.startswith("__pydantic")} - {
        "__pydantic_config__"  # documented, for a TypedDict
    }


def test_choices_of_the_same_labels_keep_their_own_sequence():
    texts = []
    for labels in (["b", "a", None], ["a", "b", None]):
        with pytest.raises(ValueError, match="input should be") as caught:
            compile_schema(labels).validate({"label": "c"})
        texts.append(str(caught.value))
    assert texts == [
        "Field \"label\" is \"c\": input should be 'b' or 'a'.",
        "Field \"label\" is \"c\": input should be 'a' or 'b'.",
    ]
