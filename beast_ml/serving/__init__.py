"""Decide, per request, which model answers. Never imports mlflow, pandas, torch, sklearn or lightgbm."""
