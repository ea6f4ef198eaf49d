"""Attribute names of a request's span: written by the gateway middleware, searched by the dashboards.

Names that begin with `gen_ai.` come from OpenTelemetry's semantic conventions for generative AI.
"""

MODEL = "gen_ai.request.model"
PROMPT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TENANT = "plimsoll.tenant"
REPLICA = "plimsoll.replica"
VERSION = "plimsoll.model_version"
PROMPT_CLASS = "plimsoll.prompt_class"
FIRST_TOKEN = "plimsoll.time_to_first_token"  # noqa: S105 - the name of an attribute
# Upper bounds of prompt-length classes, in tokens; the class is written `<=128` ... `>32768`.
PROMPT_CLASSES = (128, 512, 2048, 8192, 32768)
