"""MLflow: tracking, models and aliases, promotion gates. The only place that imports mlflow."""
