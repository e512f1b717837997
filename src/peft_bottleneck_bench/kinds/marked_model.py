"""An encoder with a few additional words, and a head that reads the states at two of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from peft_bottleneck.convolution import cache_name


class MarkedModel(nn.Module):
    """`logits = W [h_head; h_tail] + b`, with `h` the last hidden states at the places of two markers.

    The base model is unchanged: the embeddings of the markers are a separate module of `markers` rows, which replace
    the base's embedding of the token numbers from `first_marker` on. So every method can train and save them with the
    classifier, on a frozen or quantised base too. Of encoder–decoders the encoder is used.

    Shapes: `input_ids`, `attention_mask` [batch, length]; `marker_places` [batch, 2]; logits [batch, labels].
    """

    base_model_prefix = "encoder"
    accepts_loss_kwargs = False  # the loss is a mean over the batch, which Trainer must know to accumulate gradients

    def __init__(self, base: PreTrainedModel, *, labels: int, first_marker: int, markers: int) -> None:
        super().__init__()
        self.config = base.config
        self.name_or_path = base.name_or_path
        self.encoder = base.get_encoder() if base.config.is_encoder_decoder else base
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None  # the head reads the states themselves
        self.first_marker = first_marker
        words = self.encoder.get_input_embeddings().weight
        hidden = self.config.get_text_config().hidden_size
        self.markers = nn.Embedding(markers, words.shape[1], dtype=words.dtype)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(2 * hidden, labels)
        with torch.no_grad():
            # A word without a meaning: the mean of the words, plus noise of their standard deviation.
            self.markers.weight.copy_(words.mean(0) + self.markers.weight * words.std(0))
            self.classifier.weight.normal_(std=0.02)
            self.classifier.bias.zero_()

    @property
    def base_model(self) -> object:
        return self.encoder

    @property
    def device(self) -> torch.device:
        return self.classifier.weight.device

    def get_input_embeddings(self) -> nn.Module:
        embeddings: nn.Module = self.encoder.get_input_embeddings()
        return embeddings

    def gradient_checkpointing_enable(self, **options: object) -> None:
        self.encoder.gradient_checkpointing_enable(**options)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        marker_places: torch.Tensor,
        labels: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        **_: object,
    ) -> SequenceClassifierOutput:
        is_marker = input_ids >= self.first_marker
        embedded = self.get_input_embeddings()(input_ids.masked_fill(is_marker, 0))
        markers = self.markers((input_ids - self.first_marker).clamp(min=0))
        embedded = torch.where(is_marker.unsqueeze(-1), markers.to(embedded.dtype), embedded)
        optional = {"token_type_ids": token_type_ids, str(cache_name(type(self.encoder))): past_key_values}
        options = {name: value for name, value in optional.items() if value is not None}
        states = self.encoder(inputs_embeds=embedded, attention_mask=attention_mask, **options)[0]
        index = marker_places.unsqueeze(-1).expand(-1, -1, states.shape[-1])
        pooled = states.gather(1, index).flatten(1)
        logits = self.classifier(self.dropout(pooled.to(self.classifier.weight.dtype)))
        loss = None if labels is None else nn.functional.cross_entropy(logits.float(), labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
