"""MLflow: a local store beside the runs, or the server you name."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, PrivateAttr

from luban.core.contracts import Tracker
from luban.core.errors import RunError
from luban.core.extras import require
from luban.trackers._config import flat

_LONGEST_PARAMETER = 6000  #: MLflow's own bound


class Mlflow(Tracker):
    """Logs to one MLflow run; a resumed run goes on where it was.

    Local stores are files, so look at them with
    ``MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri runs/mlflow``.
    """

    experiment_name: str = "luban"
    tracking_uri: str = Field(
        default="", description="Where to log; empty: the folder `mlflow` beside the run."
    )

    _client: Any = PrivateAttr(default=None)
    _run_id: str = PrivateAttr(default="")

    def start(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        """Open the run in the store, or find it there again.

        Raises:
            MissingExtra: without mlflow.
            RunError: if the store cannot be opened.
        """
        # Read at import: nothing is sent home, and a plain folder may be a store.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        mlflow = require("mlflow", "mlflow")
        folder = folder.resolve()
        uri = self.tracking_uri or (folder.parent / "mlflow").as_uri()
        try:
            self._client = mlflow.MlflowClient(tracking_uri=uri)
            self._run_id = self._find(folder) or self._create(folder, name, config)
        except Exception as error:
            raise RunError(
                "MLflow cannot open this store.",
                where=uri,
                got=str(error).partition("\n")[0],
                fix="check train.trackers.tracking_uri, or leave it out for a local folder.",
            ) from error

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send the values of one step."""
        from mlflow.entities import Metric

        now = time.time_ns() // 1_000_000
        points = [Metric(key, value, now, step) for key, value in values.items()]
        self._client.log_batch(self._run_id, metrics=points)

    def finish(self) -> None:
        """Mark the run as finished."""
        if self._run_id:
            self._client.set_terminated(self._run_id)

    def _find(self, folder: Path) -> str:
        experiment = self._client.get_experiment_by_name(self.experiment_name)
        if experiment is None:
            return ""
        found = self._client.search_runs(
            [experiment.experiment_id], filter_string=f"tags.`luban.run` = '{folder}'"
        )
        return str(found[0].info.run_id) if found else ""

    def _create(self, folder: Path, name: str, config: Mapping[str, Any]) -> str:
        from mlflow.entities import Param

        experiment = self._client.get_experiment_by_name(self.experiment_name)
        home = experiment and experiment.experiment_id
        home = home or self._client.create_experiment(self.experiment_name)
        run = self._client.create_run(home, run_name=name, tags={"luban.run": str(folder)})
        parameters = [Param(key, value[:_LONGEST_PARAMETER]) for key, value in flat(config).items()]
        for first in range(0, len(parameters), 100):  # as many as MLflow takes in one call
            self._client.log_batch(run.info.run_id, params=parameters[first : first + 100])
        return str(run.info.run_id)
