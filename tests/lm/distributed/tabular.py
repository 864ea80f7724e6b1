"""A causal language model that is a table: the next token's logits are a row chosen by the last token."""

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, CausalLMOutput


class TabularConfig(PreTrainedConfig):
    model_type = "dagame-tabular"

    def __init__(self, vocab_size=4, **kwargs):
        self.vocab_size = self.hidden_size = vocab_size
        self.num_hidden_layers = 1
        super().__init__(**kwargs)


class Table(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.rows = nn.Embedding(size, size)

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        return BaseModelOutput(last_hidden_state=self.rows(input_ids))


class TabularLM(PreTrainedModel, GenerationMixin):
    config_class = TabularConfig
    base_model_prefix = "model"

    def __init__(self, config):
        super().__init__(config)
        self.model = Table(config.vocab_size)
        self.lm_head = nn.Linear(config.vocab_size, config.vocab_size, bias=False)
        self.lm_head.weight.data = torch.eye(config.vocab_size)
        self.lm_head.weight.requires_grad_(False)

    @classmethod
    def random(cls, size, seed):
        model = cls(TabularConfig(size, pad_token_id=0, eos_token_id=1))
        noise = torch.randn(size, size, generator=torch.Generator().manual_seed(seed))
        model.model.rows.weight.data = noise
        return model

    @property
    def table(self):
        return self.model.rows

    def get_input_embeddings(self):
        return self.model.rows

    def get_output_embeddings(self):
        return self.lm_head

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        hidden = self.model(input_ids).last_hidden_state
        return CausalLMOutput(logits=self.lm_head(hidden))
