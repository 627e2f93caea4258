"""Controls whose choices are known only once a page has opened, for a run: criteria, variants, forms of a sweep.

Gradio refuses what was not among the choices when the page was laid out, so that a program, which opens no page, could
not call their functions at all. Here the value is passed on, and refused by who knows the run, in a sentence.
"""

from typing import Any

import gradio as gr


class OpenDropdown(gr.Dropdown):
    """A dropdown that takes any value from a program; people choose from the list."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        """The value as it was given."""
        return payload

    def api_info(self) -> dict[str, Any]:
        """Names, of which the list of the moment would be wrong in a moment."""
        return {"type": "array", "items": {"type": "string"}} if self.multiselect else {"type": "string"}


class OpenCheckboxGroup(gr.CheckboxGroup):
    """Checkboxes that take any values from a program; people choose from those shown."""

    is_template = True

    def preprocess(self, payload: Any) -> Any:
        """The values as they were given."""
        return payload

    def api_info(self) -> dict[str, Any]:
        """Names, of which the list of the moment would be wrong in a moment."""
        return {"type": "array", "items": {"type": "string"}}
