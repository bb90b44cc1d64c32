"""The peers made of trees: LightGBM, XGBoost, CatBoost and scikit-learn's random forest."""

from collections.abc import Mapping
from dataclasses import replace

import catboost
import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn.ensemble import RandomForestRegressor

from bench.accuracy.peer import (
    PATIENCE,
    SEED,
    TARGETS,
    Fit,
    Fitted,
    Peer,
    Setting,
    Settings,
    Transform,
    log_integer,
    log_uniform,
    uniform,
)
from bench.accuracy.rows import CATEGORIES, COLUMNS, Hours
from models.arrays import FloatArray

EVEN = 0.5
NOT_OPTIONS = frozenset({"target", "categories", "growth", "day_of_year", "sun"})
"""Settings that are ours to carry out, not the library's."""


def options_of(settings: Settings) -> dict[str, Setting]:
    """The settings that are options of the library."""
    return {name: value for name, value in settings.items() if name not in NOT_OPTIONS}


def columns(fit: Fit) -> tuple[str, ...]:
    """The columns of a trial; the calendar day comes last where it may be known."""
    growth = {"year": ("year",), "trend": ("trend",), "both": ("year", "trend")}
    chosen = growth[str(fit.settings["growth"])]
    chosen += tuple(name for name in ("day_of_year", "sun") if fit.settings[name])
    return (*COLUMNS, *chosen, "trend") if fit.day_category else (*COLUMNS, *chosen)


def matrix(fit: Fit, hours: Hours) -> FloatArray:
    """The columns side by side, (n_rows, n_columns)."""
    return np.column_stack([hours.columns[name] for name in columns(fit)])


def categories(fit: Fit) -> list[int]:
    """Numbers of the columns that are unordered categories."""
    of_all = [COLUMNS.index(name) for name in CATEGORIES] if fit.settings["categories"] else []
    return [*of_all, len(columns(fit)) - 1] if fit.day_category else of_all


def _variables(rng: np.random.Generator) -> dict[str, Setting]:
    """Which of the optional variables a trial sees."""
    return {
        "growth": str(rng.choice(["year", "trend", "both"])),
        "day_of_year": bool(rng.random() < EVEN),
        "sun": bool(rng.random() < EVEN),
    }


def _boosting(rng: np.random.Generator) -> dict[str, Setting]:
    return _variables(rng) | {
        "target": str(rng.choice(["count", "sqrt", "log", "poisson"])),
        "categories": bool(rng.random() < EVEN),
        "learning_rate": log_uniform(rng, 0.03, 0.15),
    }


def sample_lightgbm(rng: np.random.Generator) -> Settings:
    """A trial of LightGBM."""
    return _boosting(rng) | {
        "num_leaves": log_integer(rng, 12, 100),
        "min_child_samples": log_integer(rng, 4, 60),
        "feature_fraction": uniform(rng, 0.4, 1.0),
        "bagging_fraction": uniform(rng, 0.6, 1.0),
        "lambda_l2": log_uniform(rng, 0.01, 30.0),
        "cat_smooth": log_uniform(rng, 1.0, 50.0),
    }


def lightgbm_options(settings: Settings) -> dict[str, Setting]:
    """LightGBM's own options of a trial, the objective left out."""
    fixed: dict[str, Setting] = {
        "bagging_freq": 1,
        "num_threads": 1,
        "verbosity": -1,
        "seed": SEED,
        "max_cat_threshold": 64,
    }
    return options_of(settings) | fixed


def fit_lightgbm(fit: Fit) -> Fitted:
    """LightGBM."""
    target = str(fit.settings["target"])
    there, back = TARGETS[target]
    objective = "poisson" if target == "poisson" else "regression"
    booster = boost_lightgbm(fit, there, {"objective": objective})
    return Fitted(
        lambda hours: back(np.asarray(booster.predict(matrix(fit, hours)))),
        booster.best_iteration or fit.rounds,
    )


def boost_lightgbm(fit: Fit, there: Transform, extra: Mapping[str, Setting]) -> lightgbm.Booster:
    """A booster of the given objective on the scale `there`, stopped early where it can be."""

    def pack(hours: Hours) -> lightgbm.Dataset:
        return lightgbm.Dataset(
            matrix(fit, hours),
            there(hours.rentals),
            categorical_feature=categories(fit),
            free_raw_data=False,
        )

    stop = [] if fit.stop is None else [pack(fit.stop)]
    return lightgbm.train(
        {**lightgbm_options(fit.settings), **extra},
        pack(fit.train),
        num_boost_round=fit.rounds,
        valid_sets=stop,
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)] if stop else [],
    )


def sample_xgboost(rng: np.random.Generator) -> Settings:
    """A trial of XGBoost."""
    return _boosting(rng) | {
        "max_depth": int(rng.integers(4, 10)),
        "min_child_weight": log_uniform(rng, 1.0, 30.0),
        "subsample": uniform(rng, 0.6, 1.0),
        "colsample_bytree": uniform(rng, 0.4, 1.0),
        "reg_lambda": log_uniform(rng, 0.1, 30.0),
    }


def fit_xgboost(fit: Fit) -> Fitted:
    """XGBoost, histogram trees."""
    target = str(fit.settings["target"])
    there, back = TARGETS[target]
    chosen = categories(fit)

    def pack(hours: Hours) -> xgboost.DMatrix:
        values = matrix(fit, hours)
        kinds = ["c" if i in chosen else "q" for i in range(values.shape[1])]
        return xgboost.DMatrix(
            values, there(hours.rentals), feature_types=kinds, enable_categorical=True, nthread=1
        )

    options = options_of(fit.settings)
    options |= {"tree_method": "hist", "nthread": 1, "seed": SEED}
    options["objective"] = "count:poisson" if target == "poisson" else "reg:squarederror"
    booster = xgboost.train(
        options,
        pack(fit.train),
        fit.rounds,
        evals=[] if fit.stop is None else [(pack(fit.stop), "stop")],
        early_stopping_rounds=None if fit.stop is None else PATIENCE,
        verbose_eval=False,
    )
    rounds = fit.rounds if fit.stop is None else booster.best_iteration + 1
    return Fitted(
        lambda hours: back(booster.predict(pack(hours), iteration_range=(0, rounds))), rounds
    )


def sample_catboost(rng: np.random.Generator) -> Settings:
    """A trial of CatBoost."""
    return _boosting(rng) | {
        "categories": bool(rng.random() < EVEN / 2),
        "max_ctr_complexity": int(rng.integers(1, 3)),
        "learning_rate": log_uniform(rng, 0.06, 0.2),
        "depth": int(rng.integers(5, 9)),
        "l2_leaf_reg": log_uniform(rng, 0.5, 20.0),
        "random_strength": log_uniform(rng, 0.1, 5.0),
        "bagging_temperature": uniform(rng, 0.0, 1.0),
    }


def fit_catboost(fit: Fit) -> Fitted:
    """CatBoost."""
    target = str(fit.settings["target"])
    there, back = TARGETS[target]
    chosen = categories(fit)

    def frame(hours: Hours) -> pd.DataFrame:
        table = pd.DataFrame(matrix(fit, hours))
        return table.astype(dict.fromkeys(chosen, np.int64))

    def pack(hours: Hours) -> catboost.Pool:
        return catboost.Pool(frame(hours), there(hours.rentals), cat_features=chosen)

    options = options_of(fit.settings)
    model = catboost.CatBoostRegressor(
        **options,
        iterations=fit.rounds,
        loss_function="Poisson" if target == "poisson" else "RMSE",
        thread_count=1,
        random_seed=SEED,
        verbose=False,
        allow_writing_files=False,
    )
    if fit.stop is None:
        model.fit(pack(fit.train))
    else:
        model.fit(pack(fit.train), eval_set=pack(fit.stop), early_stopping_rounds=PATIENCE)
    kind = "Exponent" if target == "poisson" else "RawFormulaVal"
    return Fitted(
        lambda hours: back(model.predict(frame(hours), prediction_type=kind)), model.tree_count_
    )


def sample_forest(rng: np.random.Generator) -> Settings:
    """A trial of the random forest."""
    return _variables(rng) | {
        "target": str(rng.choice(["count", "sqrt", "log"])),
        "categories": False,
        "max_features": uniform(rng, 0.3, 1.0),
        "min_samples_leaf": log_integer(rng, 1, 8),
    }


def fit_forest(fit: Fit) -> Fitted:
    """scikit-learn's random forest of 150 trees: it has no rounds to stop."""
    there, back = TARGETS[str(fit.settings["target"])]
    known = replace(fit, day_category=False)  # it has no unordered categories: the trend is the day
    forest = RandomForestRegressor(
        150,
        max_features=fit.settings["max_features"],
        min_samples_leaf=fit.settings["min_samples_leaf"],
        n_jobs=1,
        random_state=SEED,
    )
    forest.fit(matrix(known, fit.train), there(fit.train.rentals))
    return Fitted(lambda hours: back(forest.predict(matrix(known, hours))))


LIGHTGBM = Peer("lightgbm", "LightGBM", sample_lightgbm, fit_lightgbm)
XGBOOST = Peer("xgboost", "XGBoost", sample_xgboost, fit_xgboost)
CATBOOST = Peer("catboost", "CatBoost", sample_catboost, fit_catboost)
FOREST = Peer("forest", "scikit-learn random forest", sample_forest, fit_forest)
