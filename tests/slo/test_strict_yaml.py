"""YAML and JSON of others: limits of aliases, depth and size, no key twice, no number that isn't one; each error names its place."""

from pathlib import Path

import pytest

from plimsoll.compose import inputs
from plimsoll.compose.cli import main
from plimsoll.slo import strict_json, strict_yaml

LEVELS = "abcdefghi"


def bomb(levels: int) -> str:
    """Aliases of aliases: nine values for each at the level below."""
    lines = [
        f"{name}: &{name} [{', '.join(['x' if not index else f'*{LEVELS[index - 1]}'] * 9)}]"
        for index, name in enumerate(LEVELS[:levels])
    ]
    return "\n".join(lines) + "\n"


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


CASES = [
    ("objectives: []\nversion: 1\nobjectives: []\n", "3:1: the key 'objectives' stands in line 1 already. Keep one of them."),
    ("a: {b: 1, c: 2, b: 3}", "1:17: the key 'b' stands in line 1 already. Keep one of them."),
    ("1: a\n0x1: b", "2:1: the key '0x1' stands in line 1 already. Keep one of them."),
    (bomb(9), "6:12: the file has more than 200,000 values, aliases replaced. Split it."),
    ("a: &a {b: *a}", "1:11: an alias stands inside the value that it names. Write the value out."),
    (nested(strict_yaml.MAX_DEPTH + 1), "1:51: lists and mappings are nested deeper than 50. Flatten them."),
    ("a: &a0 [x]\n" + "".join(f"b{i}: &a{i + 1} [*a{i}]\n" for i in range(60)), "49:12: lists and mappings are nested deeper than 50. Flatten them."),
    ("a: .inf", "1:4: '.inf' isn't a finite number. Write a finite number."),
    ("a: 2026-13-01", "1:4: '2026-13-01' isn't a value of its type. Quote it to make it a text."),
    ("a: " + "9" * 101, "1:4: '" + "9" * 60 + "' isn't a value of its type. Quote it to make it a text."),
    ('a: "\\ud800"', "1:4: '\\ud800' isn't a value of its type. Quote it to make it a text."),
    ("a: !!timestamp x", "1:4: 'x' isn't a value of its type. Quote it to make it a text."),
    ("a: 1\n  \x00", "2:3: special characters are not allowed. Remove the character."),
    ("? [a]\n: b", "1:3: a key is a list or a mapping. Write a text."),
    ("a: *b", "1:4: found undefined alias 'b'. Fix the YAML syntax."),
    ("a: 1\n---\nb: 1", "1:1: the file has several YAML documents. Keep one."),
    ("#" * (strict_yaml.MAX_CHARACTERS + 1), "1:1: the file has more than 2,000,000 characters. Split it."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), CASES, ids=range(len(CASES)))
def test_hostile_yaml_is_rejected_with_its_place_and_the_fix(text: str, message: str) -> None:
    with pytest.raises(strict_yaml.InvalidYamlError) as error:
        strict_yaml.load(text)
    assert str(error.value) == message


def test_what_stays_within_the_limits_is_read() -> None:
    assert strict_yaml.load("a: &a {x: 1}\nl: [&b {<<: *a, x: 2}]\nc: {<<: *b}\n") == {
        "a": {"x": 1},
        "l": [{"x": 2}],
        "c": {"x": 2},
    }
    assert len(strict_yaml.load(bomb(5))) == 5
    assert strict_yaml.load(nested(strict_yaml.MAX_DEPTH))
    assert strict_yaml.load("a: " + "9" * 18) == {"a": 10**18 - 1}
    assert strict_yaml.load("") is None
    assert strict_yaml.load_all("a: 2024-01-01 00:00:00\n---\nb: 1") == [{"a": "2024-01-01 00:00:00"}, {"b": 1}]


@pytest.mark.parametrize(
    "command",
    [
        ("check", "--objectives"),
        ("build", "--objectives"),
        ("import", "sloth"),
        ("import", "pyrra"),
        ("import", "openslo"),
        ("whatif", "--price-file"),
    ],
)
@pytest.mark.parametrize(
    "text", [bomb(9), "slos: &a {b: *a}", "pools: []\nobjectives: []\npools: []"], ids=["bomb", "cycle", "twice"]
)
def test_every_command_that_reads_yaml_ends_with_status_2_and_the_place(
    command: tuple[str, str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "hostile.yaml"
    file.write_text(text)
    assert main([*command, str(file)]) == 2
    error = capsys.readouterr().err
    assert f"{file}:{text.count(chr(10), 0, len(text) - 1) + 1 if 'slos' in text or 'pools' in text else 6}:" in error
    assert error.count("\n") == 1


def test_a_file_without_end_is_not_read_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--objectives", "/dev/zero"]) == 2
    assert f"larger than {inputs.MAX_BYTES:,} bytes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice in one object"),
        ('{"a": NaN}', "NaN isn't a finite number"),
        ("[-Infinity]", "-Infinity isn't a finite number"),
        ("[1e999]", "1e999 isn't a finite number"),
        (nested(strict_json.MAX_DEPTH + 2), "lists and objects are nested deeper than 50"),
        (nested(100_000), "lists and objects are nested deeper than 50"),
        ("9" * 5000, "Exceeds the limit (4300 digits)"),
        ("{", "Expecting property name enclosed in double quotes (line 1, column 2)"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff"),
    ],
)  # fmt: skip
def test_hostile_json_is_rejected_in_one_line(text: str | bytes, message: str) -> None:
    with pytest.raises(strict_json.InvalidJsonError) as error:
        strict_json.load(text)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_json_within_the_limits_is_read() -> None:
    assert strict_json.load('{"a": [1, 2.5, {"b": null}]}') == {"a": [1, 2.5, {"b": None}]}
    assert strict_json.load(nested(strict_json.MAX_DEPTH))
