"""Settings of vLLM's command line are on our page where its own has none; what the command line doesn't state is unknown."""

import os
from pathlib import Path

import pytest

from engine_pages import LOAD, collect, pages, server
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.process_tree import Listener, ProcessTree
from plimsoll.exporters.vllm.command_line import stated_settings
from plimsoll.slo.metrics import ENGINE_SETTING

COMMAND = ["python", "-m", "vllm.entrypoints.openai.api_server", "--max-num-seqs=4", "--max-num-batched-tokens", "2k"]


class Tree(ProcessTree):
    """Sees one process, the server, with this command line."""

    def __init__(self, words: list[str]) -> None:
        super().__init__(Path("/nowhere"))
        self.words = words

    def listener(self, port: int, addresses: frozenset[str], last: Listener | None = None) -> Listener | None:
        """The server, whoever asks."""
        return Listener(os.getpid(), 1, 1.0)

    def arguments(self, pid: int) -> list[str]:
        """Its command line."""
        return self.words


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (COMMAND, {"max_num_seqs": 4, "max_num_batched_tokens": 2000}),
        (["--max_num_seqs", "16", "--max-num-batched-tokens=2K"], {"max_num_seqs": 16, "max_num_batched_tokens": 2048}),
        (["--max-num-seqs", "auto"], {}),
        (["--max-num-seqs"], {}),
        (["--max-num-seqs", "-1"], {}),
        (["--kv-cache-dtype", "fp8"], {}),
        ([], {}),
    ],
)
def test_what_a_command_line_states_is_known(words: list[str], found: dict[str, int]) -> None:
    assert stated_settings(words) == found


@pytest.mark.parametrize(
    ("on_page", "expected"),
    [
        ("", {"max_num_seqs": 4, "max_num_batched_tokens": 2000}),
        (
            f'{ENGINE_SETTING}{{model_name="meta-llama/Llama-3.3-70B-Instruct",engine="0",setting="max_num_seqs"}} 8\n',
            {"max_num_seqs": 8},
        ),
    ],
)
def test_the_plugins_settings_go_before_those_of_the_command_line(on_page: str, expected: dict[str, int]) -> None:
    with server(pages([LOAD + on_page] * 2)[0]) as url:
        collector = EngineCollector(f"r={url}", tree=Tree(COMMAND))
        for _ in range(2):
            points = [point for point in collect(collector) if point.metric is ENGINE_SETTING]
            assert {point.labels["setting"]: point.value for point in points} == expected
            assert {(point.labels["replica"], point.labels["rank"]) for point in points} == {("r", "0")}
