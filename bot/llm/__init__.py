"""Ask a model. Door: `chat.open_model`; `budget.Budget` wraps any LLM. The only room that imports litellm, and late."""
