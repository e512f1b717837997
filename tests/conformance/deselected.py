"""Which tests of PEFT's suites do not run, and why: the one table, grouped by reason.

A line is as `groups.Group` has it. To take a test up, delete its line.
"""

from __future__ import annotations

from deselected_methods import OF_OTHER_METHODS
from groups import Group

from peft_bottleneck import HoulsbyConfig, ParallelAdapterConfig, PfeifferConfig

SEQUENTIAL = (HoulsbyConfig, PfeifferConfig)
PARALLEL = (ParallelAdapterConfig,)


# The skips that remain, by what their message begins with.
NO_MERGE = "merges"
XFAIL = "xfail"
_NO_SVD = "PEFT leaves this model out for any method, since LoRA's SVD fails there; the other families run"
SKIPPED = {
    NO_MERGE: "ran, and held, up to where it merges: a toy model has no feed-forward network that could be folded",
    "Test does not work with model peft-internal-testing/tiny-dummy-qwen2": _NO_SVD,
    "Combining Gemma adapters with SVD is currently failing": _NO_SVD,
    XFAIL: "PEFT itself expects it to fail, for every method (xfail)",
    "Bart in transformers < 5.0": "gradient checkpointing of BART is broken in transformers before 5.0",
    "GPTBigCode": "gradient checkpointing of GPTBigCode is broken in transformers before 5.0",
    "Merging currently fails with gemma": "PEFT 0.18 skips merging in Gemma, for any method",
}
CHECKED_AGAINST = "0.21"  # the version of PEFT whose suites have every test that is named below for any version

DESELECTED: tuple[Group, ...] = (
    Group(
        "merges: y + B(y) with a non-linear B is no linear map, so a sequential adapter has nothing to merge into",
        """
        test_decoder_models::test_merge_layers*
        test_encoder_decoder_models::test_merge_layers*
        test_feature_extraction_models::test_merge_layers*
        """,
        SEQUENTIAL,
    ),
    Group(
        "merges: runs for the parallel adapter with foldable=True; this one differs from what can be folded",
        """
        test_decoder_models::test_merge_layers* *[[]parallel-ffn-*
        test_decoder_models::test_merge_layers* *[[]parallel-residual-*
        test_decoder_models::test_merge_layers* *[[]parallel-phm-*
        test_decoder_models::test_merge_layers* *[[]parallel-gating-*
        test_encoder_decoder_models::test_merge_layers* *[[]parallel-ffn-*
        test_encoder_decoder_models::test_merge_layers* *[[]parallel-residual-*
        test_encoder_decoder_models::test_merge_layers* *[[]parallel-phm-*
        test_encoder_decoder_models::test_merge_layers* *[[]parallel-gating-*
        test_feature_extraction_models::test_merge_layers* *[[]parallel-ffn-*
        test_feature_extraction_models::test_merge_layers* *[[]parallel-residual-*
        test_feature_extraction_models::test_merge_layers* *[[]parallel-phm-*
        test_feature_extraction_models::test_merge_layers* *[[]parallel-gating-*
        """,
        PARALLEL,
    ),
    Group(
        "merges in a toy model, which has no feed-forward network that could be folded",
        """
        test_custom_models::test_delete_merged_adapter_*
        test_custom_models::test_disable_adapters_with_merging
        test_custom_models::test_merge_layers*
        test_custom_models::test_mixed_adapter_batches_merged_raises
        test_custom_models::test_multiple_active_adapters_merge_and_unmerge
        test_custom_models::test_safe_merge
        test_custom_models::test_sequential_merge_matches_batch_merge
        test_custom_models::test_unmerge_after_sequential_merge_restores_base
        """,
    ),
    Group(
        "asks that only parameters with the method's prefix are trained; train_layernorm=True trains the norms too",
        """
        test_decoder_models::test_training_decoders_gradient_checkpointing *houlsby-norms-*
        test_decoder_models::test_training_decoders_layer_indexing *houlsby-norms-*
        test_encoder_decoder_models::test_training_encoder_decoders_gradient_checkpointing *houlsby-norms-*
        test_encoder_decoder_models::test_training_encoder_decoders_layer_indexing *houlsby-norms-*
        test_feature_extraction_models::test_training_gradient_checkpointing *houlsby-norms-*
        test_feature_extraction_models::test_training_layer_indexing *houlsby-norms-*
        """,
    ),
    Group(
        "asks that the embeddings need no gradient, which PEFT skips where they are trained; an invertible adapter "
        "that maps the token embeddings is trained",
        """
        test_decoder_models::test_prepare_for_training_parametrized *pfeiffer-invertible-*
        test_decoder_models::test_prepare_for_training_parametrized *houlsby-glow-*
        test_seq_classifier::test_prepare_for_training_parametrized *pfeiffer-invertible-*Llama*
        test_seq_classifier::test_prepare_for_training_parametrized *houlsby-glow-*Llama*
        """,
    ),
    Group(
        "averages a gate over the tokens of an example; OPT's FFN reads those of all examples in a row: refused",
        """
        test_decoder_models::test_* *[[-]parallel-gating-*OPTForCausalLM*
        """,
        PARALLEL,
    ),
    Group(
        "compares the gradients of two calls without dropout; stochastic depth draws anew in each",
        """
        test_decoder_models::test_training_decoders_gradient_checkpointing *pfeiffer-depth-*
        test_encoder_decoder_models::test_training_encoder_decoders_gradient_checkpointing *pfeiffer-depth-*
        test_feature_extraction_models::test_training_gradient_checkpointing *pfeiffer-depth-*
        """,
    ),
    Group(
        "refuses to train a batch of several adapters, which is possible here",
        """
        test_custom_models::test_mixed_adapter_batches_training_mode_raises
        """,
    ),
    Group(
        "averages adapters that each train their own copies of the norms: refused, as PEFT refuses it for LoRA",
        """
        test_decoder_models::test_weighted_combination_of_adapters *houlsby-norms-*
        test_encoder_decoder_models::test_weighted_combination_of_adapters *houlsby-norms-*
        test_feature_extraction_models::test_weighted_combination_of_adapters *houlsby-norms-*
        """,
    ),
    Group(
        "holds a 4-bit base in training to one in inference: on CPUs bitsandbytes takes another product there, "
        "in bfloat16, and the base alone differs by more than the test allows",
        """
        test_torch_compile::test_causal_lm_disable_lora_adapter_compile
        test_torch_compile::test_causal_lm_training_lora_bnb_compile
        """,
    ),
    Group(
        "mixes adapters in a batch, which a convolution over tokens refuses",
        """
        test_decoder_models::test_*mixed_adapter_batches *pfeiffer-conv-*
        test_encoder_decoder_models::test_*mixed_adapter_batches *pfeiffer-conv-*
        """,
    ),
    *OF_OTHER_METHODS,
    Group(
        "makes two adapters active that each train their own copy of one module, which PEFT refuses",
        """
        test_custom_models::test_active_adapter *[[]MLP-head-*
        """,
    ),
    Group(
        "mixes methods in a PeftMixedModel, which takes a fixed list of PEFT's own",
        """
        test_custom_models::test_add_adapter_rejects_duplicate_name_without_mutation *-True[]]
        """,
    ),
    Group(
        "is about gradient checkpointing in a toy model, which has none",
        """
        test_custom_models::test_training_custom_models_gradient_checkpointing
        """,
        version="0.18",
    ),
    Group(
        "is about a method of PEFT's own that newer versions have dropped, or about prompt learning",
        """
        test_custom_models::test_requires_grad_bone_*_targets
        test_decoder_models::test_prefix_tuning_half_prec_conversion
        test_encoder_decoder_models::test_prefix_tuning_half_prec_conversion
        """,
        version="0.18",
    ),
    Group(
        "adds a weighted adapter under a name that is taken, which LoRA passes over in silence; we refuse it",
        """
        test_decoder_models::test_weighted_combination_of_adapters
        test_encoder_decoder_models::test_weighted_combination_of_adapters
        test_feature_extraction_models::test_weighted_combination_of_adapters
        """,
        version="0.18",
    ),
    Group(
        "puts NaN into the weights of PEFT's own methods, by name",
        """
        test_decoder_models::test_merge_layers_nan
        """,
        version="0.18",
    ),
    Group(
        "reads the residual stream of a model without a row, or folds into it: both are refused, with advice",
        """
        test_decoder_models::* *[[-]parallel-residual-*GPTBigCode*
        test_decoder_models::test_merge_layers* *[[]parallel-foldable-*GPTBigCode*
        """,
        version="0.18",
    ),
    Group(
        "folds for good in a model whose configuration has no width for a wider feed-forward network: refused",
        """
        test_decoder_models::test_merge_layers* *[[]parallel-foldable-*Bloom*
        """,
        version="0.18",
    ),
    Group(
        "adapts a convolution, whose channels are not the last dimension",
        """
        test_custom_models::test_mixed_adapter_batches_lora_conv2d
        """,
    ),
    Group(
        "adapts an embedding: a parallel bottleneck would have to read token ids",
        """
        test_custom_models::* *[[]embedding-parallel*
        test_custom_models::test_mixed_adapter_batches_lora_conv1d_emb*
        test_custom_models::test_save_pretrained_targeting_lora_to_embedding_layer*
        test_decoder_models::test_save_pretrained_targeting_lora_to_embedding_layer
        """,
        PARALLEL,
    ),
    Group(
        "resizes an embedding that is adapted, and expects LoRA's matrices not to fit; a bottleneck's do",
        """
        test_custom_models::test_load_resized_embedding_ignore_mismatched_sizes
        """,
    ),
    Group(
        "downloads from the hub",
        """
        test_config::test_from_pretrained_cache_dir_remote
        """,
    ),
    Group(
        "measures speed, or computes, on an accelerator",
        """
        test_custom_models::test_mixed_adapter_batches_lora_opt_timing
        test_torch_compile::test_causal_lm_mixed_batch_lora_adapter_compile
        """,
    ),
)
