"""Which parameters a vendor's API knows, so that a typo is found before anything is sent."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pandas_genai.backends.endpoints import Endpoint
from pandas_genai.backends.fields import names_in
from pandas_genai.backends.registry import backend_named
from pandas_genai.errors import UsageError
from pandas_genai.task.params import OUR_PARAMS

__all__ = ["check_params", "known_params"]

_COMPATIBLE = names_in(
    """add_generation_prompt allowed_openai_params best_of cache_prompt chat_template
    chat_template_kwargs documents do_sample dry_multiplier dynatemp_range early_stopping
    enable_thinking format grammar guided_choice guided_decoding_backend guided_grammar
    guided_json guided_regex id_slot ignore_eos include_reasoning
    include_stop_str_in_output json_schema keep_alive length_penalty min_p min_tokens
    mirostat mirostat_eta mirostat_tau models n_predict n_probs num_beams num_ctx options
    plugins priority prompt_mode provider random_seed raw reasoning reasoning_format
    repeat_last_n repeat_penalty repetition_penalty return_tokens route safe_prompt
    samplers search_parameters skip_special_tokens spaces_between_special_tokens
    stop_token_ids structured_outputs template tfs_z think thinking thinking_budget top_a
    top_k transforms truncate_prompt_tokens typical_p usage use_beam_search
    xtc_probability xtc_threshold"""
)
"""What vLLM, llama.cpp, Ollama, OpenRouter, LiteLLM, Mistral, Qwen and others take besides."""

_CLOSE = 0.8


def check_params(params: Mapping[str, Any] | None, endpoint: Endpoint) -> None:
    """Find a parameter that the endpoint does not know, before anything is sent.

    On a vendor's own address every unknown name is an error. Compatible servers differ: there a
    name is one only if it looks like a misspelt one. What stands in ``extra_body`` is sent as it
    is.

    Raises
    ------
    UsageError
        With the name that was meant, where one is close.
    """
    for name in params or {}:
        if name in OUR_PARAMS or name in backend_named(endpoint.backend).parameters:
            continue
        known = known_params(endpoint.backend)
        if not endpoint.is_vendor:
            known |= _COMPATIBLE
        if name in known:
            continue
        close = difflib.get_close_matches(str(name), sorted(known | OUR_PARAMS), 1, _CLOSE)
        if close or endpoint.is_vendor:
            meant = f" Did you mean {close[0]!r}?" if close else ""
            raise UsageError(
                f"params={{{name!r}: ...}} is no parameter that {endpoint.host} is known to take."
                f"{meant} Nothing was sent; params={{'extra_body': {{{name!r}: ...}}}} sends it "
                "all the same."
            )


@functools.cache
def known_params(backend: str) -> frozenset[str]:
    """Return the names that a vendor, and its SDK, have for the parameters of a request."""
    known = backend_named(backend)
    return known.parameters | _declared(known.sdk, known.declared_in)


def _declared(sdk: str, file: str) -> frozenset[str]:
    """Read the fields of an SDK's own types; nothing where the SDK is laid out otherwise.

    They are read as text: importing an SDK takes seconds.
    """
    if not file:
        return frozenset()
    found = importlib.util.find_spec(sdk)
    places = found.submodule_search_locations if found else None
    try:
        source = (Path(next(iter(places or []))) / file).read_text("utf-8")
        classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    except (OSError, StopIteration, SyntaxError, ValueError):
        return frozenset()
    return frozenset(
        item.target.id
        for node in classes
        if node.name.endswith("CreateParamsBase")
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    )
