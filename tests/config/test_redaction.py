import pytest

from switchhead_lab.config.redaction import mask_address, mask_passwords, mask_word

ADDRESSES = [
    "postgresql+psycopg://lab:S3/cret@127.0.0.1:9/x",
    "postgresql+psycopg://lab:S3@cret@127.0.0.1:9/x",
    "postgresql+psycopg://lab:S3%2Fcret@127.0.0.1:9/x",
    "postgresql+psycopg://lab:S3?cret#cret@127.0.0.1/x",
    "postgresql+psycopg://a@b:S3:cret@127.0.0.1/x",
    "postgresql+psycopg://127.0.0.1/x?user=lab&password=S3cret",
    "postgresql+psycopg://127.0.0.1/x?sslpassword=S3cret&user=lab",
    "http://lab:S3cret@127.0.0.1:9",
    "https://S3cret@127.0.0.1:9/mlflow",
    "http://127.0.0.1:9/?access_token=S3cret",
    "redis://:S3cret@127.0.0.1",
    "http://127.0.0.1:9/#access_token=S3cret",
    "http://127.0.0.1:9/x?sig=S3cret",
    "/srv/lab/https:/lab:S3cret@127.0.0.1/x.txt",
]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("frame", ["{}", "'{}'", "(at {}, twice: {})", '{{"uri":"{}"}}', "x={}\ny"])
def test_secrets_of_unknown_addresses_are_masked(address: str, frame: str) -> None:
    text = frame.format(address, address)
    masked = mask_passwords(text)
    assert "cret" not in masked
    assert "127.0.0.1" in masked
    assert masked.startswith(frame.partition("{")[0][:1])


@pytest.mark.parametrize("address", [*ADDRESSES, "postgresql://lab:S3 cret'\"@127.0.0.1/x"])
def test_secrets_of_whole_addresses_and_words_are_masked(address: str) -> None:
    assert "cret" not in mask_address(address)
    assert "cret" not in mask_word(f"tracking_uri={address}")
    assert "127.0.0.1" in mask_address(address)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("postgresql://lab:S3%2Fcret@h/x?options=a@b", 'no host "S3/cret" or "S3%2Fcret"'),
        ("postgresql://lab:S3/cret@h/x", "tried S3/cret, then S3%2Fcret"),
        ("postgresql://lab:S3+c%20ret@h/x", "S3+c ret, S3%2Bc%20ret, S3%2Bc+ret"),
        ("postgresql://h/x?password=S3cret", "password is S3cret"),
        ("https://S3cret@h", "token S3cret expired"),
    ],
)
def test_secrets_of_known_addresses_are_masked_anywhere(address: str, text: str) -> None:
    masked = mask_passwords(text, address)
    assert "ret" not in masked
    assert "S3" not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////srv/runs/mlflow.db?timeout=3",
        "http://tracker:5000/#/experiments",
        "postgresql+psycopg://lab@host/x",
        "see https://example.org/a:b and write to me@example.org",
        "--- a/code.py\n+++ b/code.py\n@@ -1 +1 @@\n-key = 'a'\n+key = 'b'",
    ],
)
def test_text_without_secrets_is_unchanged(text: str) -> None:
    assert mask_passwords(text, "sqlite:///runs/x.db", "none") == text


def test_a_password_that_is_the_user_name_does_not_mask_every_word() -> None:
    text = mask_passwords(
        "mlflow at postgresql://mlflow:mlflow@h/x", "postgresql://mlflow:mlflow@h/x"
    )
    assert text == "mlflow at postgresql://mlflow:***@h/x"
