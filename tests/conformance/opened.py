"""How tests of PEFT's suites that leave our methods out by name are opened to them."""

from __future__ import annotations

# Tests about all registered methods at once: run as they are.
AS_IS = ("test_config::test_from_peft_type",)

# Tests that skip, or silently return, unless the method is on a list of their own, which always has LoRA: while they
# run, LoRA's names mean our method. (With PEFT 0.18 all of them do, with 0.21 the first two.)
LISTED = (
    "test_mixed_adapter_batches",
    "test_generate_with_mixed_adapter_batches",
    "test_delete_adapter",
    "test_delete_inactive_adapter",
    "test_generate_half_prec",
    "test_merge_layers*",
    "test_peft_model_device_map",
    "test_training*_layer_indexing",
)
# The same with (IA)³, whose averaging is ours; LoRA's, an algebra of ranks, is not.
LISTED_AS_IA3 = ("test_weighted_combination_of_adapters",)

# Functions that skip what one of PEFT's methods cannot do, and us with it.
NEVER_SKIP = (
    "_skip_if_conv1d_not_supported",  # ours adapt transformers' Conv1D
    "_skip_if_merging_not_supported",
    "check_beft_config",  # meant for BEFT alone, but skips Llama and Gemma for every method
    "skip_non_prompt_learning",
)

# Tests written for LoRA, but true of every method: run once with each of ours in LoRA's place.
STAND_INS = frozenset(
    f"{suite}::{test}"
    for suite, tests in {
        "test_custom_models": """
            test_add_adapter_rejects_duplicate_name_without_mutation
            test_delete_adapter_multiple_adapters_with_modules_to_save
            test_delete_adapter_with_multiple_adapters_works
            test_existing_model_card
            test_ignore_mismatched_sizes_with_scalar_modules_to_save
            test_load_does_not_overwrite_similarly_named_sibling
            test_loading_adapter_preserves_custom_requires_grad
            test_multiple_adapters_automatic_modules_to_save
            test_multiple_adapters_mixed_modules_to_save_merging_adapters
            test_multiple_adapters_no_needless_copy_modules_to_save
            test_multiple_adapters_same_modules_to_save_merging_adapters_raises
            test_multiple_adapters_seq_cls_mixed_modules_to_save_merging_adapters
            test_multirank
            test_multirank_2
            test_non_existing_model_card
            test_requires_grad_follows_inference_mode_modules_to_save
            test_requires_grad_lora_different_targets
            test_requires_grad_lora_same_targets
            test_requires_grad_modules_to_save_default
            test_requires_grad_modules_to_save_disabling
            test_requires_grad_modules_to_save_multiple_adapters
            test_save_embedding_layers_excludes_similarly_named_sibling
            test_unload_adapter_multihead_attention
            test_weight_bias_attributes
        """,
        "test_config": """
            test_lora_config_layers_to_transform_validation
        """,
        "test_encoder_decoder_models": """
            test_load_model_low_cpu_mem_usage
        """,
        "test_feature_extraction_models": """
            test_load_model_low_cpu_mem_usage
        """,
        "test_torch_compile": """
            test_causal_lm_add_weighted_adapter_lora_adapter_compile
            test_causal_lm_disable_lora_adapter_compile
            test_causal_lm_multiple_lora_adapter_compile
            test_causal_lm_training_lora_bnb_compile
        """,
    }.items()
    for test in tests.split()
)

# For those that look at the parts of a layer.
LORA_BY_NAME = {"lora_A": "down", "lora_B": "up"}
