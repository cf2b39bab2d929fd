"""An HTTP interface to a model, in the shape that clients of OpenAI know."""
