"""Pictures as the networks of published metrics were fed them. The filter that resizes moves every number."""
