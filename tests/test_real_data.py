"""The main job on real images, small enough for every run."""

import pytest

from sklearn_sparsegen import PAPER_SETTINGS, SparseGeneratorEncoder
from sklearn_sparsegen.datasets import load_images
from sklearn_sparsegen.metrics import active_codes, peak_signal_noise_ratio


@pytest.mark.filterwarnings("error")
def test_mnist_from_few_codes(data_home):
    images = load_images("mnist", data_home=data_home, download_if_missing=False)
    X_train, X_test = images.X_train[:500], images.X_test[:200]
    settings = PAPER_SETTINGS | {
        "n_components": 100,
        "hidden_layer_sizes": (100,),
        "batch_size": 50,
        "step_size": 0.08,
        "decay": 0.1,
        "max_iter": 12,
        "learning_rate_init": 0.003,
        "tol": None,
        "threshold": 0.2,
        "random_state": 0,
    }
    encoder = SparseGeneratorEncoder(**settings).fit(X_train)
    codes = encoder.transform(X_test)
    psnr = peak_signal_noise_ratio(X_test, encoder.inverse_transform(codes)).mean()
    mean_image = X_train.mean(0, keepdims=True).repeat(len(X_test), 0)
    assert psnr > peak_signal_noise_ratio(X_test, mean_image).mean() + 3
    assert 0 < active_codes(codes).mean() < 30
