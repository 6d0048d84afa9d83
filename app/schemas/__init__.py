"""The typed contract: pydantic models of every request and response of the REST API, one module per noun, with examples."""
