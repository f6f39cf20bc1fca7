"""What class an image has, told from embeddings of images whose class is known."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from farnear_training.metrics.similarity import nearest

_MAX_ITERATIONS = 1000


def k_nearest(
    references_RD: NDArray[np.float32], labels_R: NDArray[np.int64], queries_QD: NDArray[np.float32], k: int
) -> NDArray[np.int64]:
    """The commonest class among the k references most like each query by cosine, of shape (Q,).

    Of classes equally common that of the nearest reference stands.
    """
    positions_Qk, _ = nearest(queries_QD, references_RD, k)
    labels_Qk = labels_R[positions_Qk]
    votes_Qk = (labels_Qk[:, :, None] == labels_Qk[:, None, :]).sum(axis=2)
    first_Q1 = votes_Qk.argmax(axis=1)[:, None]  # argmax takes the first of equals, and the first is the nearest
    return np.take_along_axis(labels_Qk, first_Q1, axis=1)[:, 0]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Classes by falling probability.

    Attributes:
        labels: Of shape (Q, classes among the references), the most probable first.
        has_converged: Whether the optimiser came to its end.
    """

    labels: NDArray[np.int64]
    has_converged: bool

    def hits(self, labels_Q: NDArray[np.int64], k: int) -> NDArray[np.bool_]:
        """Whether each query's class, of `labels_Q`, is among its k most probable ones; of shape (Q,)."""
        hits_Q: NDArray[np.bool_] = (self.labels[:, :k] == labels_Q[:, None]).any(axis=1)
        return hits_Q


def logistic_regression(
    references_RD: NDArray[np.float32], labels_R: NDArray[np.int64], queries_QD: NDArray[np.float32]
) -> Ranking:
    """A multinomial logistic regression (L2, C = 1, each dimension scaled to variance 1) fitted to the references.

    Raises ValueError where the references have one class only.
    """
    if len(np.unique(labels_R)) < 2:
        raise ValueError("references: one class only; needed are two or more")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_MAX_ITERATIONS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # told by has_converged
        model.fit(references_RD.astype(np.float64), labels_R)
    order_QC = np.argsort(-model.predict_proba(queries_QD.astype(np.float64)), axis=1, kind="stable")
    return Ranking(labels=model.classes_[order_QC], has_converged=bool((model[-1].n_iter_ < _MAX_ITERATIONS).all()))


def confusion(labels_Q: NDArray[np.int64], predicted_Q: NDArray[np.int64], class_count: int) -> NDArray[np.int64]:
    """How many images of each class (row) were taken for each class (column), of shape (class_count, class_count)."""
    cells = np.bincount(labels_Q * class_count + predicted_Q, minlength=class_count**2)
    return cells.reshape(class_count, class_count)
