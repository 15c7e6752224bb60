"""Names of the files in an exported folder.

model.safetensors      weights, float32
config.toml            configuration of the run
labels.json            names under which the run was requested
provenance.json        provenance of the run's last attempt; uncommitted.diff beside it if not empty
result.json            figures of the run, if it finished
tokenizer.model        SentencePiece; other tokenizers: vocabulary.json; classifiers have none
plugins/               plugins of the run, and the files that they import
README.md              model card
manifest.json          ExportManifest, with the SHA-256 of every other file
"""

from switchhead_lab.config.data import SentencePieceTokenizer, TokenizerConfig

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
MANIFEST_FILE = "manifest.json"


def exported_tokenizer_name(config: TokenizerConfig) -> str:
    """Return the name of the tokenizer's file.

    Not tokenizer.json, which the transformers library reads as a file of its own kind.
    """
    is_sentencepiece = isinstance(config, SentencePieceTokenizer)
    return "tokenizer.model" if is_sentencepiece else "vocabulary.json"
