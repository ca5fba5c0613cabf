"""Colours, type and spacing, without web fonts or other hosts."""

import gradio as gr

SANS = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "monospace"]


def theme() -> gr.themes.Base:
    """The theme: greys with one blue."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.blue,
        secondary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_lg,
        font=SANS,
        font_mono=MONO,
    ).set(
        body_background_fill="#f6f7f9",
        body_background_fill_dark="#0e1117",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#171b23",
        background_fill_secondary="#f1f3f6",
        background_fill_secondary_dark="#1e2430",
        block_background_fill="#ffffff",
        block_background_fill_dark="#171b23",
        border_color_primary="#e2e6ec",
        border_color_primary_dark="#2b3240",
        block_border_width="1px",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        input_placeholder_color="#5f6b7a",
        input_placeholder_color_dark="#a3aebd",
        input_background_fill="#ffffff",
        input_background_fill_dark="#171b23",
        button_primary_background_fill="#1f5fbf",
        button_primary_background_fill_dark="#2f6fd0",
        button_primary_text_color="#ffffff",
        layout_gap="12px",
        form_gap_width="1px",
    )
