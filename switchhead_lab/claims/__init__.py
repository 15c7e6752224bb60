"""Claims about models: tests on differences paired by seed, and what repeated looks cost."""
