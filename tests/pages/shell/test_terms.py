"""Words that are explained where they stand: the script gets them all, and no text can end it."""

import json
import re

from pages.shell.terms import WORDS, head_html


def test_the_head_holds_every_word_and_one_script(monkeypatch):
    monkeypatch.setitem(WORDS, "trap", "</script><b>")
    head = head_html()
    assert head.count("<script>") == head.count("</script>") == 1
    held = re.search(r"window\.MiniTerms = (\{.*?\});\n", head)
    assert held and json.loads(held[1]) == WORDS
