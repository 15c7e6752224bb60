"""Care for records: verifying, mending, importing and reproducing them."""
