"""Bottleneck adapters (Houlsby, Pfeiffer, parallel) as tuner types of Hugging Face PEFT."""
