"""A linear program built row by row and solved by HiGHS; with whole columns, a mixed-integer one."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

Floats: TypeAlias = NDArray[np.float64]
Columns: TypeAlias = NDArray[np.intp]


class Program:
    """Minimises a linear cost over columns (the unknowns) within rows (the constraints)."""

    def __init__(self) -> None:
        self._lower: list[float] = []
        self._upper: list[float] = []
        self._whole: list[int] = []
        self._costs: list[float] = []
        self._rows: list[int] = []
        self._indices: list[int] = []
        self._values: list[float] = []
        self._row_lower: list[float] = []
        self._row_upper: list[float] = []

    def add_columns(self, shape: tuple[int, ...], lower: ArrayLike, upper: ArrayLike, *, whole: bool) -> Columns:
        """Indices of new columns, in the given shape, each between its bounds."""
        first, count = len(self._lower), int(np.prod(shape))
        self._lower += np.broadcast_to(np.asarray(lower, dtype=np.float64), shape).ravel().tolist()
        self._upper += np.broadcast_to(np.asarray(upper, dtype=np.float64), shape).ravel().tolist()
        self._whole += [int(whole)] * count
        self._costs += [0.0] * count
        return np.arange(first, first + count).reshape(shape)

    def add_row(self, columns: ArrayLike, weights: ArrayLike, lower: float, upper: float) -> None:
        """Keep the weighted sum of the columns between two bounds."""
        row = len(self._row_lower)
        indices = np.asarray(columns, dtype=np.intp).ravel()
        values: list[float] = np.asarray(weights, dtype=np.float64).ravel().tolist()
        self._rows += [row] * len(indices)
        self._indices += indices.tolist()
        self._values += values * len(indices) if len(values) == 1 else values
        self._row_lower.append(lower)
        self._row_upper.append(upper)

    def set_cost(self, columns: ArrayLike, costs: ArrayLike) -> None:
        """What one unit of each column costs; other columns are free."""
        indices = np.asarray(columns, dtype=np.intp).ravel()
        values = np.broadcast_to(np.asarray(costs, dtype=np.float64).ravel(), indices.shape)
        for index, value in zip(indices, values, strict=True):
            self._costs[index] = float(value)

    def solve(self, *, gap: float = 0.0, nodes: int = 1000) -> Floats | None:
        """The cheapest columns found, or None.

        The search ends when it is proved that nothing is cheaper by more than `gap`, or after `nodes` branches. These
        are counted, not timed, so that a plan never depends on how busy the machine is.
        """
        # HiGHS takes only a relative gap: a constant added to the cost makes it an absolute one.
        constant = 1e6 * gap
        columns = len(self._lower)
        shape = (len(self._row_lower), columns + 1)
        matrix = coo_array((self._values, (self._rows, self._indices)), shape=shape)
        result = milp(
            np.array([*self._costs, constant]),
            integrality=np.array([*self._whole, 0]),
            bounds=Bounds(np.array([*self._lower, 1.0]), np.array([*self._upper, 1.0])),
            constraints=LinearConstraint(matrix.tocsc(), np.array(self._row_lower), np.array(self._row_upper)),
            options={"mip_rel_gap": 1e-6 if gap else 0.0, "node_limit": nodes},
        )
        return None if result.x is None else np.asarray(result.x[:columns], dtype=np.float64)
