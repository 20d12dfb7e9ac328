"""Families of predictors behind one contract: fitted on the same folds, compared, stacked, distilled into one head."""
