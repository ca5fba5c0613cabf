"""Item encoders on disk: small files, and the very same features from them."""

import numpy as np

from tpad import Bundle
from tpad.bundle.encoder import load_encoder
from tpad.model.embedding_sets import as_stored
from tpad.training.inputs import contents


def test_plain_sets_come_back_bit_by_bit(trained, tmp_path):
    encoder = load_encoder(trained.bundle, device="cpu")
    encoder.save(tmp_path / "again")
    again = load_encoder(tmp_path / "again", device="cpu")
    items = contents(trained.dataset)[:20]
    for name in ("tfidf", "random"):
        one, other = (e.encode(items, [name])[name] for e in (encoder, again))
        np.testing.assert_array_equal(one, other)
    stored = Bundle.load(trained.bundle).embeddings["tfidf"][:20]
    made = encoder.encode(contents(trained.dataset), ["tfidf"])["tfidf"]
    np.testing.assert_array_equal(stored, as_stored("tfidf", made)[:20])


def test_tfidf_reads_texts_beyond_what_the_language_model_reads(trained):
    encoder = load_encoder(trained.bundle, device="cpu")
    item = contents(trained.dataset)[0]
    filler = "- " * encoder.reading.max_text
    long = type(item)(None, filler + item.title, category=item.category, price=item.price)
    short = type(item)(None, item.title, category=item.category, price=item.price)
    one, other = encoder.encode([long, short], ["tfidf"])["tfidf"]
    assert one @ other > 0.9 * np.linalg.norm(one) * np.linalg.norm(other)


def test_recommenders_learn_from_what_the_bundle_stores(trained):
    """The features of their scalers are the stored ones, not those before rounding."""
    bundle = Bundle.load(trained.bundle)
    warm = ~trained.dataset.cold
    for name in ("tpad", "vision"):
        x = bundle.embeddings[name]
        np.testing.assert_array_equal(x, as_stored(name, x))
        mean = bundle.recommenders[name].network.scaler.mean.cpu().numpy()
        np.testing.assert_array_equal(mean, x[warm].astype(np.float64).mean(0).astype(np.float32))
