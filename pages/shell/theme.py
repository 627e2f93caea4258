"""The app's look, as Gradio's theme: quiet greys, one blue, the system's own letters. Nothing is fetched for it.

What a theme cannot say is in assets/style.css, in terms of the theme's variables, so that both follow dark mode.
"""

import gradio as gr

SYSTEM = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace"]

# Shades around #0072B2, the blue that stands for the original model in every figure.
BLUE = gr.themes.Color(
    name="minillm-blue",
    c50="#eef7fc",
    c100="#d6ebf7",
    c200="#aed7ef",
    c300="#7abde3",
    c400="#429fd3",
    c500="#1a85c2",
    c600="#0072b2",
    c700="#005c90",
    c800="#064b73",
    c900="#0a3d5e",
    c950="#062740",
)


SETTINGS = {
    "body_background_fill": "*neutral_50",
    "body_background_fill_dark": "#0d1117",
    "background_fill_primary": "white",
    "background_fill_primary_dark": "#151b24",
    "background_fill_secondary": "*neutral_50",
    "background_fill_secondary_dark": "#1b222d",
    "block_background_fill": "*background_fill_primary",
    "block_border_width": "1px",
    "block_shadow": "none",
    "block_shadow_dark": "none",
    "block_label_text_weight": "600",
    "border_color_primary": "*neutral_200",
    "border_color_primary_dark": "#2b3442",
    "body_text_color": "#1f2430",
    "body_text_color_dark": "#e6e9ee",
    "body_text_color_subdued": "#566072",
    "body_text_color_subdued_dark": "#a5aebd",
    "button_primary_background_fill": "*primary_600",
    "button_primary_background_fill_hover": "*primary_700",
    "button_primary_background_fill_dark": "*primary_600",
    "button_primary_background_fill_hover_dark": "*primary_500",
    "button_primary_text_color": "white",
    "link_text_color": "*primary_600",
    "link_text_color_dark": "*primary_300",
}


def theme() -> gr.themes.Base:
    """The theme, for `launch(theme=theme(), css_paths=[plotly_host.STYLE])`."""
    look = gr.themes.Base(
        primary_hue=BLUE,
        secondary_hue=BLUE,
        neutral_hue="slate",
        radius_size="md",
        spacing_size="md",
        text_size="md",
        font=SYSTEM,
        font_mono=MONO,
    )
    return look.set(**SETTINGS)
