"""The tests that touch each dependency: run at the newest and the oldest versions too.

A short selection, by dependency: reading and writing through it, its defaults where we rely on them,
and results against something else. A rename or a changed default fails one of them. Marked
`dependency`; `python tests/dependencies.py` prints the files, `make test-newest` and `make test-oldest`
run them. `test_dependencies.py` keeps the list in step with pyproject.toml and the tests.
"""

from __future__ import annotations

TESTS: dict[str, tuple[str, ...]] = {
    "numpy": (
        "games/test_answer_map.py",
        "test_backends.py::test_float32_stays_float32_and_is_certified_in_float64[numpy]",
    ),
    "array-api-compat": (
        "test_backends.py::test_solve_and_certify_agree_with_numpy[array-api-strict-identity-coherence]",
        "test_backends.py::test_solve_and_certify_agree_with_numpy[array-api-strict-channel-shannon]",
    ),
    "scipy": (
        "objectives/test_identities.py::test_arithmetic_coherence_against_scipy",
        "estimators/test_tables.py::test_minimax_is_of_order_one_over_k_squared",
    ),
    "cvxpy": (
        "solvers/test_solvers.py::test_cvxpy_agrees",
        "solvers/test_solvers.py::test_cvxpy_on_traces_and_channels",
        "objectives/test_constraints.py::test_hard_and_soft_against_cvxpy",
        "estimators/test_tables.py::test_variance_optimal_trades_little_noise_for_much_bias",
    ),
    "polars": (
        "samples/test_samples.py",
        "samples/test_gold.py::test_right_answers",
        "samples/test_stream.py::test_every_format_in_parts",
        "samples/keys/test_reader.py::test_any_text_is_read",
        "samples/keys/test_extract.py::test_patterns_take_group_1_of_the_last_match",
        "samples/keys/test_extract.py::test_rows_are_independent_and_null_stays_null",
        "samples/keys/test_extract.py::test_the_engine_is_linear_where_backtracking_hangs",
        "torture/test_csv.py::test_csv_columns_are_numbers_where_no_digit_is_lost",
        "torture/test_group_rewards.py::test_columns_of_any_library_are_paid_alike",
        "test_known_errors.py::test_a_full_disk_under_polars",
    ),
    "sympy": (
        "theory/test_classify.py::test_a_callable_integrates_like_its_formula",
        "theory/test_classify.py::test_curvature_is_a_bound_and_decides",
        "theory/test_sympy.py::test_closed_forms_are_stationary_exactly",
        "samples/keys/test_extract.py::test_equal_answers_have_one_key",
        "samples/keys/test_mathematics.py::test_quotients_of_polynomials_agree_with_sympy",
        "samples/keys/test_mathematics.py::test_spellings_of_one_meaning",
    ),
    "matplotlib": (
        "apps/test_report.py",
        "torture/test_pages.py::test_text_of_every_script_is_shown_as_it_is",
        "torture/test_pages.py::test_labels_that_look_like_mathematics_or_private_ones_are_shown_as_they_are",
    ),
    "jinja2": (
        "apps/test_report.py::test_the_page_is_self_contained_and_escaped",
        "torture/test_pages.py::test_pages_hold_hostile_names_as_text",
    ),
    "rich": (
        "apps/test_cli.py::test_solve_writes_what_it_says",
        "apps/test_doctor.py::test_the_tables_fit_eighty_columns",
    ),
    "typer": (
        "apps/test_cli.py::test_json_to_stdout_is_all_that_stdout_holds",
        "apps/test_cli.py::test_missing_options_are_usage_errors",
        "apps/test_cli.py::test_the_version",
    ),
    "platformdirs": ("test_known_errors.py::test_tables_are_cached_where_the_system_keeps_caches",),
    "packaging": ("apps/test_doctor.py::test_verdicts",),
    "zstandard": (
        "samples/files/test_layouts.py::test_every_layout_gives_the_same_partition[packed_zst]",
        "samples/files/test_layouts.py::test_standard_input[packed_zst]",
    ),
    "torch": (
        "test_backends.py::test_solve_and_certify_agree_with_numpy[torch-identity-coherence]",
        "test_backends.py::test_solve_and_certify_agree_with_numpy[torch-index-hard-cap]",
        "lm/test_generation.py",
        "test_known_errors.py::test_a_full_disk_under_torch",
        "test_known_errors.py::test_a_damaged_file_of_torch",
        "test_known_errors.py::test_a_lost_process",
    ),
    "transformers": (
        "lm/test_generation.py",
        "lm/test_prefix.py",
        "lm/test_selfcheck.py::test_the_embedded_model_passes_with_any_seed",
        "lm/test_tiny.py::test_the_shipped_model_is_what_the_docs_say",
        "lm/test_tiny.py::test_saved_and_loaded_again",
        "test_known_errors.py::test_settings_of_generation_are_all_known",
        "test_known_errors.py::test_a_model_that_brings_code",
    ),
    "trl": (
        "lm/test_settings.py",
        "lm/test_selfcheck.py::test_a_trainers_samples_pass",
        "lm/test_trl.py::test_rewards_equal_a_recount_of_the_completion_log",
        "lm/test_trl.py::test_two_sgd_steps_are_the_policy_gradient_of_the_core",
        "lm/test_trl.py::test_a_resumed_run_is_the_same_run_and_multipliers_survive",
        "lm/test_trl.py::test_chats_are_read_and_scored_like_strings",
        "lm/test_trl.py::test_dropped_completions_are_unscorable_and_move_nothing",
        "lm/test_weighted.py::test_the_step_is_the_weighted_sum_of_row_gradients",
        "lm/test_weighted.py::test_constant_weights_are_the_trainer_without_weights",
    ),
    "accelerate": (
        "lm/test_distributed.py::test_two_processes_split_a_class_and_a_group_and_resume_exactly",
    ),
    "datasets": (
        "lm/test_schedule.py",
        "lm/test_finetune.py::test_a_run_leaves_weights_metrics_curves_and_a_card",
    ),
    "peft": (
        "lm/test_generation.py::test_an_adapter_that_is_zero_changes_nothing",
        "lm/test_trl.py::test_adapters_train_against_the_model_without_them",
        "lm/test_finetune.py::test_adapters_are_trained_and_saved_alone",
    ),
    "safetensors": (
        "test_known_errors.py::test_a_damaged_file_of_safetensors",
        "lm/test_tiny.py::test_shipped_weights_are_small_and_safe",
    ),
    "openai": (
        "lm/test_sample_server.py::test_what_the_server_knows_is_found_out_and_said",
        "lm/test_sample_server.py::test_the_server_samples_the_model_itself",
        "lm/test_sample_command.py::test_what_the_command_refuses",
    ),
    "clingo": (
        "domains/test_asp_keys.py::test_answer_sets_are_those_of_the_definition",
        "domains/test_asp_keys.py::test_what_is_not_read_whole_has_no_key_and_says_why",
        "domains/test_asp_keys.py::test_the_process_opens_no_file_and_starts_nothing",
    ),
    "ray": ("samples/test_rays.py",),
    "numba": (
        "solvers/test_fast.py::test_games_with_zeros_are_solved_alike",
        "solvers/test_fast.py::test_edges_of_the_floats_are_solved_alike",
        "solvers/test_fast.py::test_exponentials_and_logarithms_have_all_digits",
        "solvers/test_normalisers.py::test_both_paths_find_the_same_policy",
        "numerics/test_roots.py::test_rows_obey_their_equation_on_both_paths",
    ),
    "gguf": ("lm/test_score_answers.py::test_files_that_are_no_models",),
    "pyyaml": (
        "torture/test_configs.py::test_scalars_are_what_yaml_1_2_says",
        "torture/test_configs.py::test_hostile_files",
    ),
}
"""File, file::function, or file::function[case], below tests/."""

LISTED = frozenset(place for places in TESTS.values() for place in places)


def is_listed(nodeid: str) -> bool:
    """Whether a test, by its node id below tests/, belongs to the selection."""
    place = nodeid.removeprefix("tests/")
    return not LISTED.isdisjoint((place, place.partition("[")[0], place.partition("::")[0]))


if __name__ == "__main__":
    print(*sorted({"tests/" + place.partition("::")[0] for place in LISTED}))
