"""Embeddings of rows and the weights that push-pull transport gives them."""

import numpy as np
import pytest

import dagame as dg

pytest.importorskip("transformers")

from dagame.lm import tiny


@pytest.fixture(scope="module")
def loaded():
    return tiny.load()


def a_pool(count=24):
    rows = [
        {"prompt": prompt, "completion": " 1 + 2 = 3 # 3" if k % 2 else " 4 * 5 = 20 # 20"}
        for k, prompt in enumerate(
            text for problem in tiny.problems("test") for text in tiny.prompts(problem)
        )
    ]
    return rows[:count]


def test_embeddings_do_not_depend_on_the_batch(loaded):
    model, tokenizer = loaded
    rows = a_pool()
    whole = dg.lm.embed(model, rows, tokenizer)
    assert whole.shape == (len(rows), model.config.hidden_size)
    for size in (1, 5):
        again = dg.lm.embed(model, rows, tokenizer, batch_size=size)
        np.testing.assert_allclose(again, whole, atol=2e-5)
    few = dg.lm.embed(model, rows[3:4], tokenizer)
    np.testing.assert_allclose(few[0], whole[3], atol=2e-5)


def test_an_embedding_is_the_last_tokens_hidden_state(loaded):
    import torch

    model, tokenizer = loaded
    row = a_pool(1)[0]
    ids = tokenizer(row["prompt"])["input_ids"]
    ids = ids + tokenizer(row["completion"], add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[-1]
    found = dg.lm.embed(model, [row], tokenizer)[0]
    np.testing.assert_allclose(found, states[0, -1].numpy(), atol=1e-6)


def test_rows_that_cannot_be_embedded(loaded):
    model, tokenizer = loaded
    for rows, match in (([], "no rows"), ([{"text": "x"}], "mappings"), (["", "a"], "no tokens")):
        with pytest.raises(dg.DagameError, match=match):
            dg.lm.embed(model, rows, tokenizer)


def test_cosine_costs():
    costs = dg.lm.cosine_cost(
        np.array([[3.0, 0.0], [1.0, 1.0]]), np.array([[2.0, 0.0], [0.0, -1.0]])
    )
    np.testing.assert_allclose(costs, [[0, 1], [1 - np.sqrt(0.5), 1 + np.sqrt(0.5)]], atol=1e-15)
    for wrong in (np.zeros((1, 2)), np.ones((1, 3))):
        with pytest.raises(dg.DagameError, match="one width"):
            dg.lm.cosine_cost(np.ones((2, 2)), wrong)


# -- weights ----------------------------------------------------------------------------------------


def costs(n=30, seed=0):
    """Rows of which the first third sits at the harmful points."""
    rng = np.random.default_rng(seed)
    safe, harm = 0.5 + 0.5 * rng.random((n, 4)), 0.5 + 0.5 * rng.random((n, 3))
    safe[n // 3 :] -= 0.5
    harm[: n // 3] -= 0.5
    return safe, harm


def test_the_equilibriums_weights_are_ratios_of_mean_1():
    safe, harm = costs()
    masses = np.random.default_rng(1).dirichlet(np.ones(30))
    masses[5] = 0.0
    masses /= masses.sum()
    found = dg.lm.push_pull(safe, harm, epsilon=0.5, masses=masses)
    assert found.mass.sum() == pytest.approx(1.0)
    assert found.weight[5] == 0.0
    assert not found.mask[5]
    assert found.mask.sum() == 29
    assert found.weight[found.mask].mean() == pytest.approx(1.0)
    ratio = found.mass[found.mask] / masses[found.mask]
    np.testing.assert_allclose(found.weight[found.mask] / ratio, found.weight[0] / ratio[0])
    assert found.solution.status is dg.Status.SOLVED
    assert float(found.certificate.gap) < 1e-9
    assert found.after["safe"] < found.before["safe"]
    assert found.after["harm"] > found.before["harm"]
    np.testing.assert_allclose(found.mass @ found.safe_potential, found.after["safe"])
    np.testing.assert_allclose(found.mass @ found.harm_potential, found.after["harm"])
    assert found.mass[:10].sum() < masses[:10].sum()


def test_published_weights_are_almost_constant_and_keep_the_largest():
    safe, harm = costs(300)
    found = dg.lm.push_pull(safe, harm, epsilon=0.5, beta=0.5, mode="published", keep=200)
    assert found.mask.sum() == 200
    assert found.mass[found.mask].min() >= found.mass[~found.mask].max()
    kept = found.weight[found.mask]
    assert kept.max() / kept.min() < 1.01
    np.testing.assert_allclose(
        kept / kept[0], np.exp(found.mass[found.mask] - found.mass[found.mask][0])
    )
    assert not found.weight[~found.mask].any()
    assert not found.mask[:100].any()


def test_without_a_harmful_set_there_is_no_push():
    found = dg.lm.push_pull(costs()[0], epsilon=0.5)
    assert found.harm_potential is None
    assert set(found.before) == {"safe"}


def test_below_the_bound_the_status_says_so():
    safe, harm = costs()
    found = dg.lm.push_pull(safe, harm, epsilon=0.05, beta=0.01)
    assert found.solution.status is dg.Status.LOCAL
    assert "local solution" in str(found.certificate.conditions)


def test_what_is_no_choice_is_refused():
    safe, _ = costs()
    for wrong, match in (
        ({"mode": "best"}, "choose"),
        ({"mode": "published"}, "keep=K"),
        ({"keep": 0}, "between"),
        ({"keep": 31}, "between"),
    ):
        with pytest.raises(dg.DagameError, match=match):
            dg.lm.push_pull(safe, epsilon=0.5, **wrong)
    with pytest.raises(dg.DagameError, match="one context"):
        dg.lm.push_pull(safe[None], epsilon=0.5)
