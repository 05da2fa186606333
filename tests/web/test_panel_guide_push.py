"""The other half of the API guide: what Oracle must provide is what the bridge sends, reads and checks."""

import json
import shlex
from pathlib import Path

import httpx
import pytest

from tests.web.test_panel_guide import blocks, guide, rows
from totara_bridge import template_field
from totara_bridge.oracle.conformance import RULES
from totara_bridge.web.panel.guide.pushing import SOURCES


def test_the_push_flow_is_that_of_the_check_and_of_the_answers(panel: httpx.Client) -> None:
    sections = guide(panel)
    told = rows(sections["rules"], "The rules")
    assert [(name, words.removesuffix(" (advice)"), change) for name, words, change in told] == [
        (rule.name, rule.statement, rule.change) for rule in RULES
    ]
    assert {status: became.split(":")[0] for status, became in rows(sections["answer"], "The status of a result")} == {
        "`stored`": "sent",
        "`duplicate`": "sent",
        "`rejected`": "dead",
        "`retry`": "failed",
        "`another`": "failed",
    }
    whole = dict(rows(sections["answer"], "An answer as a whole"))
    assert whole["400 or 422 without `results`"].startswith("come again in smaller requests")
    assert whole["401"].startswith("come again at once with a new token")
    assert whole["409"].startswith("failed")
    assert whole["3xx, 403, 404, any other"] == "nothing is sent any more until a person has looked"


def test_a_destination_s_own_template_is_shown(
    panel: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert set(SOURCES) == set(template_field.SOURCES)
    file = tmp_path / "bridge.toml"
    file.write_text(
        """
        [[destinations]]
        code = "fusion"
        connection = "oracle_fusion"
        template = "own"
        gzip = true
        corrections = true

        [templates.own]
        version = 3
        items = "rows"

        [templates.own.fields]
        "key" = "item_key"
        "learner.number" = { source = "learner_number", required = true }
        "state" = { source = "status", map = { complete = "ORA_DONE", complete_rpl = "ORA_RPL" } }
        "email" = { source = "user.email", omit_empty = true }
        "from" = { constant = "it's Totara" }
        """
    )
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
    section = guide(panel)["to-fusion"]
    assert json.loads(blocks(section, "code")[0]["text"]) == {
        "rows": [
            {
                "key": "TB7QK3ZV5M2XWJ4T6RD3PYHNCE2A",
                "learner": {"number": "300000047001"},
                "state": "ORA_DONE",
                "email": "zoe@example.com",
                "from": "it's Totara",
            }
        ]
    }
    assert rows(section, "Each item") == [
        ["`key`", "names the item for ever, 64 characters at most: keep it in a UNIQUE column", ""],
        ["`learner.number`", "what Oracle calls the learner", "the item waits until there is one"],
        [
            "`state`",
            "`complete` or `complete_rpl` (recognition of prior learning); others where it was lost; "
            "written as `ORA_DONE`, `ORA_RPL`",
            "",
        ],
        ["`email`", "the learner's e-mail address", "the field is left out"],
        ["`from`", 'always `"it\'s Totara"`', ""],
    ]
    words = " ".join(block["text"] for block in blocks(section, "words"))
    assert "Airflow Connection `oracle_fusion`, template `own/3`" in words
    assert "corrections too, withdrawals are left out" in words
    assert "Content-Encoding: gzip" in words
    [command] = blocks(section, "command")
    words_of_it = shlex.split(command["text"])
    assert json.loads(words_of_it[words_of_it.index("--data-binary") + 1])["rows"][0]["from"] == "it's Totara"
