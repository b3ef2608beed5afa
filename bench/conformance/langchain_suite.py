"""LangChain's standard tests of chat models, through langchain-openai. The server's URL and model come by the environment."""

import os

from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests


class TestColophon(ChatModelIntegrationTests):
    @property
    def chat_model_class(self):
        return ChatOpenAI

    @property
    def chat_model_params(self):
        return {
            "base_url": os.environ["COLOPHON_SUITE_URL"] + "/v1",
            "api_key": "none",
            "model": os.environ["COLOPHON_SUITE_MODEL"],
            # Greedy, a model this small repeats a call or a sentence until its tokens end.
            "temperature": 0.7,
            "frequency_penalty": 0.5,
            "seed": 7,
            "max_tokens": 256,
            "max_retries": 0,
            "stream_usage": True,
        }

    has_tool_calling = True
    has_tool_choice = True
    has_structured_output = True
    structured_output_kwargs = {"method": "json_schema"}
    supports_json_mode = True
    supports_model_override = "COLOPHON_SUITE_OTHER_MODEL" in os.environ
    model_override_value = os.environ.get("COLOPHON_SUITE_OTHER_MODEL")
    # A text model: no images, audio, documents.
    supports_image_inputs = False
    supports_image_urls = False
    supports_image_tool_message = False
    supports_pdf_inputs = False
    supports_audio_inputs = False
    supports_video_inputs = False
    supports_anthropic_inputs = False
    returns_usage_metadata = True
