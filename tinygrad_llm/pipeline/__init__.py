"""From a corpus of Python to an assistant: what the stages of ``tinygrad-llm pipeline`` work on.

The stages themselves are the other commands (commands/pipeline_stages.py); here is what they do not
have: examples and questions made from the functions of a corpus, and the report.
"""
