"""Make and run classifiers with PyTorch; runs in the converter's environment, not in ours.

The oracle of the GGUF judges: it shares no code with edgeeval. Each job is a command:

    make     train a tokenizer on texts, save a classifier with random weights
    answer   token ids by the tokenizers library and probabilities by PyTorch, one text at a time

The file is a list of jobs: PyTorch takes seconds to start.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

transformers.logging.set_verbosity_error()


def wordpiece(texts, n_vocab):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=n_vocab, special_tokens=special)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    return transformers.BertTokenizerFast(tokenizer_object=tokenizer, do_lower_case=True)


def byte_level(texts, n_vocab):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=n_vocab,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(sep=("</s>", 2), cls=("<s>", 0))
    tokenizer.decoder = decoders.ByteLevel()
    return transformers.RobertaTokenizerFast(tokenizer_object=tokenizer)


def unigram(texts, n_vocab):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(vocab_size=n_vocab, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    tokenizer.decoder = decoders.Metaspace()
    return transformers.XLMRobertaTokenizerFast(tokenizer_object=tokenizer)


TOKENIZERS = {"Bert": wordpiece, "Roberta": byte_level, "XLMRoberta": unigram, "Albert": wordpiece}


def make(job):
    """Save a classifier; its init is as wide as a trained model's, so that answers spread."""
    torch.manual_seed(job["seed"])
    family, folder = job["family"], Path(job["folder"])
    tokenizer = TOKENIZERS[family](job["texts"], job["n_vocab"])
    tokenizer.model_max_length = job["max_tokens"]
    tokenizer.save_pretrained(folder)
    offset = 2 if "oberta" in family or "Roberta" in family else 0
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(tokenizer),
        max_position_embeddings=job["max_tokens"] + offset,
        pad_token_id=1 if offset else 0,
        type_vocab_size=1 if offset else 2,
        id2label=dict(enumerate(job["labels"])),
        label2id={label: number for number, label in enumerate(job["labels"])},
        **job["sizes"],
    )
    if job.get("problem_type"):
        config.problem_type = job["problem_type"]
    model_class = f"{family}ForSequenceClassification"
    model = getattr(transformers, model_class)(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "LayerNorm" in name:
                weight.add_(torch.randn_like(weight) * 0.1)
            elif weight.ndim == 1:
                weight.normal_(0, 0.1)
            elif name.startswith("classifier") and weight.shape[0] == len(job["labels"]):
                weight.normal_(0, 2.0 / weight.shape[1] ** 0.5)
            elif weight.ndim == 2:
                weight.normal_(0, job["spread"] / weight.shape[1] ** 0.5)
    if job["format"] == "safetensors":
        model.save_pretrained(folder)
    elif job["format"] == "bin":
        config.architectures = [model_class]
        config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    else:  # what Detoxify's own training saves, and what it releases
        prefix = "model." if job["format"] == "lightning" else ""
        config.architectures = [f"{family}ForMaskedLM"]
        config.id2label = {0: "LABEL_0", 1: "LABEL_1"}  # as of the model that was fine-tuned
        config.save_pretrained(folder)
        arguments = {
            "num_classes": len(job["labels"]),
            "model_type": "some-base-uncased",
            "model_name": model_class,
            "tokenizer_name": job.get("tokenizer_name", f"{family}Tokenizer"),
        }
        torch.save(
            {
                "epoch": 1,
                "global_step": 10,
                "pytorch-lightning_version": "1.0",
                "state_dict": {prefix + name: value for name, value in model.state_dict().items()},
                "config": {
                    "name": "test",
                    "batch_size": 8,
                    "arch": {"type": "X", "args": arguments},
                    "dataset": {"type": "Y", "args": {"classes": job["classes"]}},
                },
            },
            folder / "toxic-1234.ckpt",
        )


def answer(job):
    """Say what a folder's classifier makes of texts."""
    folder = Path(job["folder"])
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(job["max_tokens"])
    found = tokenizer.encode_batch(job["texts"])
    ids = [one.ids for one in found]
    Path(job["ids"]).write_text(json.dumps(ids))
    config = transformers.AutoConfig.from_pretrained(folder)
    model_class = getattr(transformers, job["architecture"])
    if (folder / "model.safetensors").exists():
        model = model_class.from_pretrained(folder)
    else:
        (path,) = [*folder.glob("*.bin"), *folder.glob("*.ckpt")]
        weights = torch.load(path, weights_only=True)
        weights = weights.get("state_dict", weights)
        config.num_labels = job["n_labels"]
        model = model_class(config)
        model.load_state_dict({name.removeprefix("model."): v for name, v in weights.items()})
    model.eval()
    with torch.no_grad():
        outputs = [model(torch.tensor([one])).logits[0].double() for one in ids[: job["n_scored"]]]
    probabilities = torch.stack(outputs)
    probabilities = (
        torch.sigmoid(probabilities)
        if job["activation"] == "sigmoid"
        else torch.softmax(probabilities, 1)
    )
    Path(job["probabilities"]).write_text(json.dumps(probabilities.tolist()))


if __name__ == "__main__":
    for one in json.loads(Path(sys.argv[1]).read_text()):
        {"make": make, "answer": answer}[one.pop("command")](one)
