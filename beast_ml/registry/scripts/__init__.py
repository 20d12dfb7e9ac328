"""Code that MLflow stores beside a model and runs to load it: models from code, so that nothing is pickled."""
