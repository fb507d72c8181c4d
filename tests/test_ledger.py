"""Rows that survive: found again under the same key and settings only, whatever became of the file's end."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kolab.errors import ConfigError
from kolab.ledger import Ledger


def never():
    raise AssertionError("measured again")


def test_a_row_is_measured_once_and_found_by_the_next_run(tmp_path):
    path = tmp_path / "deep" / "rows.jsonl"
    first = Ledger(path, {"epochs": 3})
    assert first.get({"seed": 0, "name": "전체"}, lambda: {"f1": 0.5, "pair": (1, 2)}) == {
        "f1": 0.5,
        "pair": [1, 2],
    }
    again = Ledger(path, {"epochs": 3})
    assert again.has({"name": "전체", "seed": 0}) and not again.has({"name": "전체", "seed": 1})
    assert again.get({"name": "전체", "seed": 0}, never) == {"f1": 0.5, "pair": [1, 2]}
    assert again.rows == first.rows
    again.close()
    assert not path.exists()


def test_other_settings_are_other_rows_and_neither_is_lost(tmp_path):
    path = tmp_path / "rows.jsonl"
    for epochs in (1, 2):
        Ledger(path, {"epochs": epochs}).get({"seed": 0}, lambda f1=epochs / 10: {"f1": f1})
    assert [Ledger(path, {"epochs": e}).get({"seed": 0}, never)["f1"] for e in (1, 2)] == [0.1, 0.2]


def test_a_new_measurement_refuses_a_file_with_rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    Ledger(path, {}, new=True).get({"seed": 0}, lambda: {"f1": 1})
    with pytest.raises(ConfigError, match="--resume"):
        Ledger(path, {}, new=True)


@settings(max_examples=30)
@given(cut=st.integers(1, 60))
def test_a_file_cut_anywhere_costs_its_last_rows_and_goes_on(cut, tmp_path_factory):
    path = tmp_path_factory.mktemp("torn") / "rows.jsonl"
    ledger = Ledger(path, {"a": 1})
    for seed in range(4):
        ledger.get({"seed": seed}, lambda f1=seed / 8: {"f1": f1})
    path.write_bytes(path.read_bytes()[:-cut])
    again, measured = Ledger(path, {"a": 1}), []
    for seed in range(4):
        again.get({"seed": seed}, lambda seed=seed: measured.append(seed) or {"f1": seed / 8})
    assert bool(measured) == (cut > 1)  # the last byte is only the end of the line
    assert measured == list(range(4 - len(measured), 4))  # the last ones, and no other
    assert again.rows == ledger.rows
    third = Ledger(path, {"a": 1})
    assert [third.get({"seed": seed}, never) for seed in range(4)] == ledger.rows


def test_lines_of_something_else_are_passed_over(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xff\xfe\n[1]\n{}\n" + json.dumps({"key": {"seed": 0}, "row": {"f1": 1}}).encode())
    assert Ledger(path, {}).get({"seed": 0}, never) == {"f1": 1}


def test_an_interruption_costs_the_row_it_came_in(tmp_path):
    made = []

    def measure(number):
        made.append(number)
        if made == [0, 1, 2]:
            raise KeyboardInterrupt
        return {"number": number}

    def go_through():
        ledger = Ledger(tmp_path / "rows.jsonl", {})
        for number in range(4):
            ledger.get({"job": number}, lambda number=number: measure(number))
        return ledger

    with pytest.raises(KeyboardInterrupt):
        go_through()
    ledger = go_through()
    assert made == [0, 1, 2, 2, 3] and [row["number"] for row in ledger.rows] == [0, 1, 2, 3]
