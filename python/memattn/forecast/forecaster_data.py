"""Reads data for a forecaster: panels, their covariates and their settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from memattn.errors import quoted, refused
from memattn.forecast.arguments import EXOG, whole_number
from memattn.forecast.data.future_rows import with_future
from memattn.forecast.data.panel import Data, Join, Panel, Table, panel_of
from memattn.forecast.data.time_zones import Ticks
from memattn.forecast.data.windows import Least, Rolling, last_windows
from memattn.forecast.fitting import Fitted
from memattn.forecast.forecaster_settings import Settings, choose_settings, stride
from memattn.forecast.forecaster_state import ForecasterState
from memattn.forecast.prior import Prior, decided
from memattn.forecast.prior_files import prior_of
from memattn.forecast.starting import Start


class ForecasterData(ForecasterState):
    """Reads tables for a `Forecaster`."""

    def panel(
        self,
        data: Data,
        *,
        static_df: Table | None = None,
        n_windows: int = 0,
        step_size: int = 1,
    ) -> Panel:
        """Return the series in `data` as a `Panel`, read as in `fit` and `predict`.

        Parameters
        ----------
        data : DataFrame, path or Panel
            As in `fit`. After `fit`, with its frequency and season.
        static_df : DataFrame or path, optional
            As in `fit`.
        n_windows, step_size : int
            Windows of a backtest. Frequency and season are then found in the rows before its first
            window.

        Raises
        ------
        DataError
            If the data cannot be used; after `fit` also if rows do not fit its frequency.
        """
        where = "Forecaster.panel"
        if self._fitted is not None and not n_windows:
            return self._panel_like_fit(where, data, static_df=static_df)
        some = whole_number(where, "n_windows", n_windows, 0)
        held = self._rolling(where, n_windows, step_size) if some else None
        return self._panel(where, data, held, static_df=static_df)

    def with_future(
        self,
        panel: Panel,
        X_df: Table | None = None,  # noqa: N803 - nixtla's name
        h: int | None = None,
    ) -> Panel:
        """Return a panel with the known covariates of the rows after its series.

        Parameters
        ----------
        panel : Panel
            A panel that `panel` returned.
        X_df, h
            As in `Forecaster.predict`.

        Raises
        ------
        DataError
            If `X_df` lacks a row or a value, or is missing and the panel lacks the covariates too.
        """
        where = "Forecaster.with_future"
        steps = self.horizon if h is None else whole_number(where, "h", h, 1, self.horizon)
        return self._with_future(where, panel, X_df, steps)

    def _rolling(self, where: str, n_windows: int, step_size: int) -> Rolling:
        whole_number(where, "n_windows", n_windows, 1)
        return Rolling(self.horizon, n_windows, whole_number(where, "step_size", step_size, 1))

    def _panel(
        self,
        where: str,
        data: Data,
        held: Rolling | None = None,
        like: Panel | None = None,
        static_df: Table | None = None,
        join: Join | None = None,
        least: Least | None = None,
    ) -> Panel:
        names = ["freq", "season", "id_col", "time_col", "target_col", "day_first", "on_bad_series"]
        names += [*EXOG, "calendar", "country"] if self.has_covariates else []
        options = {name: getattr(self, name) for name in names}
        if self.has_covariates:
            options |= {"ahead": self.horizon, "static_df": static_df}
        elif static_df is not None:
            raise refused(where, "static_df", "needs stat_exog_list, which names its columns")
        panel = panel_of(where, data, held=held, least=least, like=like, join=join, **options)
        if self.alias in (panel.form.id_col, panel.form.time_col, panel.form.target_col):
            problem = f"{self.alias!r} is a column of the data; choose another name"
            raise refused(where, "alias", problem)
        return panel

    def _panel_like_fit(
        self,
        where: str,
        data: Data,
        static_df: Table | None = None,
        join: Join | None = None,
        like: Fitted | Start | None = None,
    ) -> Panel:
        """Read a panel like that of `fit` or of the state `like`; `join` is as in `_panel`."""
        state = self._state("panel") if like is None else like
        known = state.panel
        panel = self._panel(where, data, like=known, static_df=static_df, join=join)
        if panel.frequency != known.frequency:  # a Panel, or hours of another clock
            found, expected = panel.frequency.every, known.frequency.every
            msg = f"found one row every {found}, expected one every {expected} as in training"
            raise refused(where, "data", msg)
        panel = replace(panel, season=known.season)
        if join is None:
            self._check_phases(where, panel, state.settings)
        return panel

    def _check_phases(self, where: str, panel: Panel, settings: Settings) -> None:
        """Raise if forecasts must begin at one phase of the season and a series ends at another."""
        if stride(settings) > 1:
            other = panel.phases(*last_windows(panel)) != settings["origin_phase"].value
            if other.any():
                first = quoted(str(panel.ids[int(np.argmax(other))]))
                msg = f"series {first} ends at another phase of the season of {panel.season} rows"
                hint = "than the series of fit(); cut it so that the phases agree, or fit again"
                raise refused(where, "data", f"{msg} {hint}")

    def _choose(
        self, where: str, panel: Panel, phases: Ticks | None = None
    ) -> tuple[Settings, Prior | None]:
        """Choose the settings for a panel, and the prior that may be used."""
        if phases is None:
            phases = panel.phases(*last_windows(panel))
        settings = choose_settings(
            panel.lengths,
            panel.frequency,
            panel.season,
            self,
            covariates=self.has_covariates,
            phases=phases,
        )
        if self.prior is None:
            return settings, None
        prior, why_not = prior_of(where, self.prior, panel.season, panel.frequency)
        return decided(settings, prior, why_not, self), prior

    def _with_future(self, where: str, panel: Panel, future: Table | None, steps: int) -> Panel:
        """Return the panel with the known covariates of the next `steps` rows."""
        if future is not None and not self.futr_exog_list:
            problem = "needs futr_exog_list, which names its columns"
            raise refused(where, "X_df", problem)
        return with_future(panel, future, steps)
