"""Which tests of PEFT's suites are about other methods than ours: a part of the table `deselected`."""

from __future__ import annotations

from groups import Group

OF_OTHER_METHODS: tuple[Group, ...] = (
    Group(
        "is about the algebra of LoRA's weight matrices (delta weights, ranks, DoRA), which a bottleneck has not",
        """
        test_custom_models::test_add_weighted_adapter_*
        test_custom_models::test_dora_save_and_load_remapping
        test_custom_models::test_gpt2_dora_merge_and_unload*
        test_custom_models::test_lora_safe_merge_does_not_mutate_base_layer_on_non_finite_bias
        test_custom_models::test_merge_with_lora_bias_when_base_layer_has_no_bias_warns_and_raises
        test_custom_models::test_mixed_adapter_batches_lora_with_dora_*
        test_custom_models::test_multiple_active_dora_adapters_*
        test_custom_models::test_plain_lora_and_dora_adapters_merge_matches_forward
        test_decoder_models::test_lora_embed_scale_is_applied
        test_decoder_models::test_merge_and_unload_fixes_tie_word_embeddings_config
        test_torch_compile::test_causal_lm_merge_and_unload_lora_adapter_compile
        test_torch_compile::test_causal_lm_merging_lora_adapter_compile
        test_torch_compile::test_causal_lm_merging_multiple_lora_adapters_compile
        """,
    ),
    Group(
        "is about a field, a layer or a message that only LoRA has",
        """
        test_config::test_nested_config_survives_save_load_roundtrip
        test_config::test_regex_with_layer_indexing_lora
        test_custom_models::test_custom_lora_layer_*
        test_custom_models::test_default_target_modules_list_of_str
        test_custom_models::test_default_target_modules_str
        test_custom_models::test_mha_gradients_set_correctly
        test_custom_models::test_mixed_adapter_batches_mha_raises
        test_custom_models::test_override_lora_linear
        test_custom_models::test_repr_lora_*
        test_custom_models::test_requires_grad_lora_conv2d
        test_custom_models::test_requires_grad_lora_emb_conv1d
        test_custom_models::test_saving_and_loading
        test_custom_models::test_target_layer_without_in_features_out_features
        test_custom_models::test_training_works
        test_decoder_models::test_lora_embed_scale_is_applied_mixed_batch
        test_decoder_models::test_lora_layer_replication
        """,
    ),
    Group(
        "trains single tokens' embeddings (trainable_token_indices), which is LoRA's",
        """
        test_custom_models::test_delete_adapter_multiple_adapters_with_trainable_token_indices
        test_custom_models::test_loading_model_with_trainble_tokens_requires_grad_set_correctly
        test_custom_models::test_multiple_active_adapters_with_different_trainable_token_indices_works
        test_custom_models::test_multiple_active_adapters_with_same_trainable_token_indices_raises
        test_custom_models::test_requires_grad_follows_inference_mode_trainable_token_indices
        test_custom_models::test_set_adapter_non_overlapping_trainable_token_indices
        test_custom_models::test_set_requires_grad_trainable_tokens
        test_custom_models::test_trainable_tokens_random_init_unmerge_restores_base_weights
        """,
    ),
    Group(
        "trains biases of the base model (bias='all'), for which bottleneck adapters have no field",
        """
        test_custom_models::test_adding_multiple_adapters_with_bias_raises
        test_custom_models::test_disable_adapter_with_bias_warns
        test_custom_models::test_save_load_roundtrip_fsdp_wrapped_learnable_bias
        test_decoder_models::test_adding_multiple_adapters_with_bias_raises
        test_encoder_decoder_models::test_adding_multiple_adapters_with_bias_raises
        test_encoder_decoder_models::test_save_shared_tensors
        """,
    ),
    Group(
        "is about prompt learning",
        """
        test_config::test_prompt_encoder_warning_num_layers
        test_decoder_models::test_prefix_tuning_*
        test_decoder_models::test_prompt_learning_with_gradient_checkpointing
        test_decoder_models::test_prompt_tuning_*
        test_decoder_models::test_set_requires_grad_prompt_learning_raises
        test_decoder_models::test_training_prompt_learning_tasks
        test_encoder_decoder_models::test_active_adapters_prompt_learning
        test_encoder_decoder_models::test_prompt_learning_forward_with_inputs_embeds
        test_encoder_decoder_models::test_training_prompt_learning_tasks
        test_feature_extraction_models::test_training_prompt_learning_tasks
        test_seq_classifier::test_prompt_learning_forward_with_inputs_embeds
        test_seq_classifier::test_prompt_tuning_text_prepare_for_training
        """,
    ),
    Group(
        "is about another method of PEFT's own",
        """
        test_config::test_adalora_config_*
        test_config::test_ia3_is_feedforward_subset_*
        test_custom_models::test_default_target_modules_osf
        test_custom_models::test_glora_safe_merge_does_not_corrupt_base_layer_on_non_finite_adapter
        test_custom_models::test_gralora_and_hybrid_gralora_parameter_count
        test_custom_models::test_ia3_grouped_conv_feedforward_merge
        test_custom_models::test_ia3_safe_merge_does_not_mutate_base_layer_on_non_finite_bias
        test_custom_models::test_monteclora_variational_loss_computation*
        test_custom_models::test_pvera_*
        test_custom_models::test_requires_grad_ia3_conv?d
        test_decoder_models::test_generate_adalora_no_dropout
        """,
    ),
    Group(
        "repeats for another method what test_requires_grad_lora_{different,same}_targets checks for ours",
        """
        test_custom_models::test_requires_grad_adalora_*_targets
        test_custom_models::test_requires_grad_boft_*_targets
        test_custom_models::test_requires_grad_fourierft_*_targets
        test_custom_models::test_requires_grad_hra_*_targets
        test_custom_models::test_requires_grad_ia3_*_targets
        test_custom_models::test_requires_grad_lntuning_*_targets
        test_custom_models::test_requires_grad_loha_*_targets
        test_custom_models::test_requires_grad_lokr_*_targets
        test_custom_models::test_requires_grad_miss_*_targets
        test_custom_models::test_requires_grad_oft_*_targets
        test_custom_models::test_requires_grad_pvera_*_targets
        test_custom_models::test_requires_grad_randlora_*_targets
        test_custom_models::test_requires_grad_vblora_*_targets
        test_custom_models::test_requires_grad_vera_*_targets
        """,
    ),
)
